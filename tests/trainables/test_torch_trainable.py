"""A trial is a function of its config and seed: alone, next to others, after a checkpoint, after a reset."""

import random
import re
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import ray
import torch
from ray import cloudpickle
from ray.tune import PlacementGroupFactory
from torch.nn.functional import cross_entropy

from trainables.configs import DataSettings, MLPConfig
from trainables.data.datasets import Part
from trainables.data.row_cache import RowCache
from trainables.models.mlp import MLP
from trainables.torch.devices import Devices

OPTIMIZERS = get_args(MLPConfig.model_fields["optimizer"].annotation)
NOISY = {"dropout": 0.3, "momentum": 0.8, "weight_decay": 1e-3, "seed": 5}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_restored_trial_continues_exactly(trial, tmp_path, optimizer, precision, after):
    config = {**NOISY, "optimizer": optimizer, "precision": precision}
    uninterrupted = trial(**config)
    after(uninterrupted, 2)
    saved = uninterrupted.save(str(tmp_path / "saved"))
    restored = trial(**config)
    restored.restore(saved)
    assert [after(restored, 1) for _ in range(3)] == [after(uninterrupted, 1) for _ in range(3)]


def test_a_trial_restored_from_a_bare_path_keeps_its_epoch(trial, tmp_path, after):
    original = trial(**NOISY)
    after(original, 2)
    original.save(str(tmp_path / "saved"))
    restored = trial(**NOISY)
    restored.restore(str(tmp_path / "saved"))
    assert after(restored, 1) == after(original, 1)


def test_two_trials_of_one_process_are_independent(trial, after):
    alone = [after(trial(**NOISY), 4), after(trial(**{**NOISY, "seed": 6}), 4)]
    first, second = trial(**NOISY), trial(**{**NOISY, "seed": 6})
    interleaved = [[after(first, 1), after(second, 1)] for _ in range(4)][-1]
    assert interleaved == alone


def test_a_trial_neither_reads_nor_advances_the_global_generators(trial, after):
    def states():
        numpys: Any = np.random.get_state()
        return (torch.get_rng_state().tolist(), random.getstate(), numpys[1].tolist())

    torch.manual_seed(1)
    before = states()
    learned = after(trial(**NOISY), 2)
    assert states() == before
    torch.manual_seed(2)
    assert after(trial(**NOISY), 2) == learned


def test_another_seed_gives_different_results(trial, after):
    assert after(trial(seed=1), 1) != after(trial(seed=2), 1)


def test_trials_use_the_data_shared_with_their_process(wine):
    class Handed(MLP):
        pass

    handed = Handed.shared({"dataset": "wine"}, sweep_seed=3)
    Handed.adopt({"dataset": "wine"}, handed, sweep_seed=3)
    assert Handed(config={**wine, "sweep_seed": 3}).dataset.source is handed
    other = {"sweep_seed": 4, "validation": 0.5, "scaling": "robust"}
    assert Handed(config={**wine, **other}).dataset.source is handed
    assert Handed(config={**wine, "dataset": "iris"}).dataset.source is not handed
    assert MLP(config=wine).dataset.source is not handed


def test_a_sweep_keeps_no_state_of_an_earlier_one_in_its_process(wine):
    class Counted(MLP):
        def model(self, config):
            return super().model(config)

    def handed():
        return Counted.shared({"dataset": "wine"}, sweep_seed=0)

    Counted.adopt({"dataset": "wine"}, handed(), sweep_seed=0)
    state, first = Counted.process_state, Counted(config=wine)
    Counted.adopt({"dataset": "wine"}, handed(), sweep_seed=0)
    second = Counted(config=wine)
    assert Counted.process_state is not state
    assert second.dataset is not first.dataset
    assert second.dataset.source is not first.dataset.source


def test_a_pickled_class_contains_none_of_its_state(wine):
    class Local(MLP):
        pass

    Local(config=wine)
    assert Local.process_state.part(RowCache).load(DataSettings(dataset="wine"))
    assert len(cloudpickle.dumps(Local)) < 5_000


def test_a_reset_trial_equals_a_new_one(trial, after, wine):
    used = trial(**NOISY, optimizer="rmsprop", hidden=8)
    after(used, 3)
    fresh = {**wine, "seed": 3, "dropout": 0.2}
    assert used.reset(dict(fresh)) is True
    assert after(used, 2) == after(trial(**fresh), 2)


def test_a_checkpoint_of_a_reset_trial_does_not_contain_the_old_result(trial, tmp_path, after, wine):
    used = trial()
    after(used, 3)
    used.reset(dict(wine))
    assert used.save(str(tmp_path / "saved")).metrics == {}


def test_a_checkpoint_is_one_file_that_loads_without_running_code(trial, tmp_path, after):
    learner = trial(**NOISY)
    after(learner, 1)
    learner.save(str(tmp_path / "saved"))
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["checkpoint.pt"]
    state = torch.load(tmp_path / "saved" / "checkpoint.pt", weights_only=True)
    assert state["epoch"] == 1
    assert state["config"] == learner.hyperparameters.model_dump()
    fitted = learner.dataset.preprocessing
    assert {name: array.tolist() for name, array in state["preprocessing_arrays"].items()} == {
        name: array.tolist() for name, array in fitted.arrays.items()
    }


def test_the_saved_weights_without_dropout_give_the_reported_scores(trial, tmp_path, after):
    learner = trial(dropout=0.5)
    result = after(learner, 2)
    learner.save(str(tmp_path / "saved"))
    network = learner.model(learner.hyperparameters).eval()
    network.load_state_dict(torch.load(tmp_path / "saved" / "checkpoint.pt", weights_only=True)["model"])
    validation = learner.dataset.validation
    outputs, targets = network(torch.tensor(validation.features)), torch.tensor(validation.targets)
    assert result["val_loss"] == pytest.approx(cross_entropy(outputs, targets).item())
    assert result["val_accuracy"] == pytest.approx((outputs.argmax(dim=1) == targets).float().mean().item())


def test_a_failed_save_leaves_the_earlier_checkpoint(trial, tmp_path, monkeypatch, after):
    learner = trial()
    after(learner, 1)
    saved = learner.save(str(tmp_path / "saved"))

    def disk_full(state, file):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="no space left"):
        learner.save(str(tmp_path / "saved"))
    assert len(list((tmp_path / "saved").iterdir())) == 1
    restored = trial()
    restored.restore(saved)
    assert restored.epoch == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_trial_keeps_its_own_learning_rate_with_another_trial_s_checkpoint(
    trial, tmp_path, optimizer, after
):
    donor = trial(optimizer=optimizer, lr=0.01)
    at_checkpoint = after(donor, 2)["val_loss"]
    saved = donor.save(str(tmp_path / "saved"))
    same, slower = trial(optimizer=optimizer, lr=0.01), trial(optimizer=optimizer, lr=1e-9)
    same.restore(saved)
    slower.restore(saved)
    assert after(same, 1)["val_loss"] != pytest.approx(at_checkpoint, rel=1e-4)
    assert after(slower, 1)["val_loss"] == pytest.approx(at_checkpoint, rel=1e-4)


@pytest.mark.parametrize("saved_by", OPTIMIZERS)
@pytest.mark.parametrize("taken_by", ["sgd", "nesterov", "rmsprop", "adam"])
def test_a_checkpoint_can_be_continued_with_another_optimizer(trial, tmp_path, saved_by, taken_by, after):
    donor = trial(optimizer=saved_by, momentum=0.0)
    after(donor, 1)
    other = trial(optimizer=taken_by, momentum=0.9)
    other.restore(donor.save(str(tmp_path / "saved")))
    assert after(other, 1)["training_iteration"] == 2


def test_a_checkpoint_of_another_shape_is_refused_with_the_difference(trial, tmp_path):
    saved = trial(hidden=8).save(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="checkpoint: its weights do not fit this trial's model") as refused:
        trial(hidden=16).restore(saved)
    assert "a checkpoint with {'hidden': 8}, but this trial has {'hidden': 16}" in str(refused.value)


def test_a_checkpoint_of_another_split_is_refused(trial, tmp_path):
    saved = trial(sweep_seed=1).save(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="must have this trial's data and sweep_seed 2, got sweep_seed 1"):
        trial(sweep_seed=2).restore(saved)


def test_cleanup_may_be_called_twice(trial):
    learner = trial()
    learner.stop()
    learner.stop()


def test_a_trial_without_a_granted_gpu_runs_on_the_cpu(trial, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert trial().device == torch.device("cpu")


def test_a_granted_gpu_that_torch_cannot_see_is_an_error(trial, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(MLP, "trial_resources", PlacementGroupFactory([{"CPU": 1}, {"GPU": 0.5}]))
    with pytest.raises(
        RuntimeError, match=r"resources\.gpu: the trial was granted a GPU, but this PyTorch .* finds none"
    ):
        trial()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hiden": 3}, "config: unknown key 'hiden'; did you mean 'hidden'?"),
        ({"hidden": 0}, "hidden: must be greater than or equal to 1, got 0"),
        ({"hidden": 2.5}, "hidden: must be a valid integer, got 2.5"),
        ({"lr": "fast"}, "lr: must be a valid number, got 'fast'"),
        ({"lr": float("nan")}, "lr: must be a finite number, got nan"),
        ({"momentum": 1.0}, "momentum: must be less than 1, got 1.0"),
        ({"optimizer": "adamm"}, "optimizer: unknown value 'adamm'; did you mean 'adam'?"),
        ({"seed": -1}, "seed: must be greater than or equal to 0, got -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_invalid_config_is_refused_in_a_sentence(trial, config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        trial(**config)


def test_numpy_numbers_are_accepted(trial):
    learner = trial(hidden=np.int64(8), lr=np.float64(0.01), optimizer=np.str_("sgd"))
    assert (learner.hyperparameters.hidden, learner.hyperparameters.optimizer) == (8, "sgd")


@pytest.mark.parametrize(
    ("free", "total", "gpus", "places"),
    [
        (3.0, 100.0, 1.0, ["cuda", "cuda"]),
        (1.9, 100.0, 1.0, ["cpu", "cpu"]),
        (100.0, 100.0, 0.05, ["cuda", "cuda"]),
        (100.0, 100.0, 0.03, ["cuda", "cpu"]),
        (100.0, 100.0, 0.01, ["cpu", "cpu"]),
    ],
    ids=["fit", "too little is free", "fit in the share", "one fits in the share", "too small a share"],
)
def test_rows_are_kept_on_the_device_if_they_fit(free, total, gpus, places, monkeypatch):
    """Rows may use half of the free memory and half of the worker's share; other rows stay on the CPU."""
    parts = [Part(np.zeros((100, 4)), np.zeros(100), np.arange(100)) for _ in range(2)]
    size = parts[0].features.nbytes + parts[0].targets.nbytes
    memory = int(free * size), int(total * size)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: memory)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    granted = SimpleNamespace(get_actor_id=lambda: "1", get_assigned_resources=lambda: {"GPU": gpus})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: granted)
    monkeypatch.setattr(
        torch,
        "tensor",
        lambda array, device: SimpleNamespace(device=torch.device(device), nbytes=array.nbytes),
    )
    own = Devices()
    made = [own.rows(part, torch.device("cuda")) for part in parts]
    assert [features.device.type for features, _ in made] == places
