"""Mixed precision, compilation and accelerators give the same training, up to rounding."""

import functools
from collections import Counter
from types import SimpleNamespace
from typing import get_args

import pytest
import ray
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.configs import OptimizerName
from trainables.models.cnn import CNN
from trainables.models.mlp import MLP
from trainables.stacking import size as stack_size
from trainables.stacking import stack
from trainables.stacking.optimizers import StackedOptimizer
from trainables.stacking.record import StackingRecord
from trainables.torch import devices
from trainables.torch.devices import Devices


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_learns_like_full_precision(trial, after, amp):
    assert after(trial(amp=amp), 10)["val_accuracy"] > 0.9
    full, mixed = after(trial(), 3), after(trial(amp=amp), 3)
    assert mixed["val_loss"] == pytest.approx(full["val_loss"], rel=0.1)
    assert mixed["val_loss"] != full["val_loss"]


@pytest.mark.parametrize(("amp", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_layers_compute_in_the_named_type_and_weights_keep_full_precision(trial, amp, dtype):
    learner = trial(amp=amp)
    network, seen = learner._learner.network, set()
    network[0].register_forward_hook(lambda _module, _inputs, outputs: seen.add(outputs.dtype))
    learner.train()
    assert seen == {dtype, torch.float32}  # training, then the evaluation in full precision
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_an_update_with_overflowed_gradients_is_skipped_and_lowers_the_scale(trial, tmp_path):
    learner = trial(amp="fp16", batch_size=1000)
    before = [parameter.clone() for parameter in learner._learner.network.parameters()]
    scaler = learner._learner.loss_scaler
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0**40})
    learner.train()
    after = list(learner._learner.network.parameters())
    assert all((one == two).all() for one, two in zip(before, after, strict=True))
    assert scaler.get_scale() == 2.0**39
    restored = trial(amp="fp16", batch_size=1000)
    restored.restore(learner.save(str(tmp_path)))
    assert restored._learner.loss_scaler.get_scale() == 2.0**39


def test_gradients_are_clipped_at_their_unscaled_size(trial):
    full, mixed = trial(clip_norm=0.01, optimizer="sgd"), trial(clip_norm=0.01, optimizer="sgd", amp="fp16")
    mixed._learner.loss_scaler.load_state_dict({**mixed._learner.loss_scaler.state_dict(), "scale": 2.0**10})
    for _ in range(3):
        expected, found = full.train(), mixed.train()
    assert found["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-3)


def test_mixed_precision_of_double_precision_is_refused(trial):
    with pytest.raises(ValueError, match=r"^amp: needs precision float32; must be none, got 'bf16'$"):
        trial(amp="bf16", precision="float64")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised in torch's own compiler
def test_a_compiled_model_trains_like_the_original(trial, after, monkeypatch):
    called = []

    def backend(graph, _inputs):
        called.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    config = {"dropout": 0.2, "noise": 0.1}
    expected = after(trial(**config), 3)
    assert not called
    assert after(trial(**config, compile=True), 3) == pytest.approx(expected)
    assert called


class Moves(TorchDispatchMode):
    """Count the copies from the CPU to another device."""

    def __init__(self):
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        devices = {each.device.type for each in tree_leaves((args, kwargs, result)) if torch.is_tensor(each)}
        self.count["copies"] += "copy" in str(function) and len(devices) > 1
        return result


NUMBERS = {"warmup": 2.0, "noise": 0.1, "mixup": 0.2, "clip_norm": 1.0, "l1": 0.1, "label_smoothing": 0.1}
IMAGES = {"flip": 0.5, "shift": 1, "rotation": 5.0, "cutout": 2, "normalization": "batch"}


# An optimizer takes the same steps for any model and any option, so these are tried with one.
@pytest.mark.parametrize(
    ("model", "more", "optimizer"),
    [*((MLP, {}, name) for name in get_args(OptimizerName)), (MLP, NUMBERS, "adam"), (CNN, IMAGES, "adam")],
    ids=[*get_args(OptimizerName), "MLP", "CNN"],
)
def test_the_waits_for_a_device_do_not_depend_on_the_size_of_the_stack(model, more, optimizer, monkeypatch):
    """The device is torch's ``meta``, which refuses to mix devices. All its values read as 0."""
    monkeypatch.setattr(Devices, "granted", lambda self, resources: torch.device("meta"))
    steps: list[None] = []
    step = StackedOptimizer.step
    monkeypatch.setattr(StackedOptimizer, "step", lambda self, own: steps.append(step(self, own)))
    waits: Counter[str] = Counter()
    tolist = torch.Tensor.tolist

    def waiting(tensor):
        waits["read"] += tensor.device.type == "meta"
        return tolist(torch.zeros(tensor.shape) if tensor.device.type == "meta" else tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", waiting)
    counts = set()
    for batch_size, number in ((10_000, 2), (600, 2), (600, 3)):
        config = {"dataset": "digits", "batch_size": batch_size, "optimizer": optimizer, **more}
        own = [{"lr": 0.1 * lane, "dropout": 0.1 * lane, "seed": lane} for lane in range(1, number + 1)]
        learners = model._learners([{**config, **each} for each in own])
        stack.advance(learners, StackingRecord())  # creates the state of the lanes' own optimizers
        steps.clear()
        waits.clear()
        with Moves() as moves:
            stack.advance(learners, StackingRecord())
        assert len(steps) == learners[0].batches == (1 if batch_size == 10_000 else 2)
        assert [learner.epoch for learner in learners] == [2] * number
        counts.add((moves.count["copies"], waits["read"]))
    assert len(counts) == 1


def test_lanes_are_measured_even_if_the_device_holds_few_of_the_sampled_models(monkeypatch):
    held: set[torch.nn.Module] = set()
    measured: list[int] = []

    def to(module, device, *_):
        held.add(module)
        if len(held) > 2:
            raise torch.OutOfMemoryError("device")
        return module

    def best_size(learners, record, **_):
        stack_size._small(learners[0])
        measured.extend(learner.config.hidden for learner in learners)
        return len(held)

    monkeypatch.setattr(Devices, "granted", lambda self, resources: torch.device("meta"))
    monkeypatch.setattr(torch.nn.Module, "to", to)
    monkeypatch.setattr(torch.nn.Module, "cpu", lambda module: held.discard(module))
    monkeypatch.setattr(stack_size, "best_size", best_size)
    configs = [{"dataset": "digits", "hidden": hidden} for hidden in range(8, 13)]
    assert MLP.best_lanes(configs, most=8) == 1
    assert measured == [8, 9, 10, 11, 12]


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU which no process has used yet."""
    for name, default in (("allow_tf32", True), ("deterministic", False)):
        monkeypatch.setattr(torch.backends.cudnn, name, default)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return Devices()


def gpus(number):
    """Return the resources of a trial as Ray Tune describes them."""
    return SimpleNamespace(required_resources={"CPU": 1.0, "GPU": number})


@pytest.mark.parametrize(
    ("granted", "fractions"),
    [({"GPU": 0.25}, [0.25]), ({"GPU": 1.0}, []), ({"GPU": 2.0}, []), ({"CPU": 1.0}, [])],
    ids=["quarter", "whole", "two", "none of its own"],
)
def test_a_process_uses_no_more_than_its_share_of_gpu_memory(gpu, granted, fractions, monkeypatch):
    limits: list[float] = []
    context = SimpleNamespace(get_actor_id=lambda: "1", get_assigned_resources=lambda: granted)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    for _ in range(2):
        assert gpu.granted(gpus(1)).type == "cuda"
    assert limits == fractions


def test_gpu_convolutions_are_exact_and_deterministic_unless_a_model_changes_that(gpu):
    cudnn = torch.backends.cudnn
    assert gpu.granted(gpus(0)).type == "cpu"
    assert (cudnn.allow_tf32, cudnn.deterministic) == (True, False)
    assert gpu.granted(gpus(1)).type == "cuda"
    assert (cudnn.allow_tf32, cudnn.deterministic) == (False, True)
    cudnn.allow_tf32 = True  # a model may change it
    gpu.granted(gpus(1))
    assert cudnn.allow_tf32


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_lanes_are_written_back_in_calls_with_tensors_of_one_kind(optimizer, monkeypatch):
    """A GPU copies the tensors of a call in one go only if all have one type and layout."""
    config = {"dataset": "digits", "normalization": "batch", "dropout": 0.1, "optimizer": optimizer}
    learners = MLP._learners([{**config, "seed": seed} for seed in range(3)])
    stack.advance(learners, StackingRecord())
    kinds, copy = [], torch._foreach_copy_

    def copying(own, values):
        kinds.append({(each.dtype, each.shape, each.stride()) for each in (*own, *values)})
        copy(own, values)

    monkeypatch.setattr(torch, "_foreach_copy_", copying)
    stack.advance(learners, StackingRecord())
    network = learners[0].network
    states = {"momentum": 1, "adam": 2}[optimizer] * len([*network.parameters()])
    assert len(kinds) == states + len([*network.parameters(), *network.buffers()])
    assert all(len(alike) == 1 for alike in kinds)


def test_a_process_that_is_no_worker_may_use_the_whole_gpu(gpu, monkeypatch):
    context = SimpleNamespace(get_actor_id=lambda: None, get_assigned_resources=pytest.fail)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", pytest.fail)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (50, 100))
    assert devices.memory_share(gpu.granted(gpus(1))) == 100
