"""A lane of a stacked model has the same learning curve as the trial alone."""

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import ray
import torch
from torch import nn
from torch.nn import functional

from trainables.configs import Initialization, OptimizerName, ScheduleName
from trainables.layers.counter_random import keys
from trainables.layers.dropout import Dropout
from trainables.models.cnn import CNN
from trainables.models.mlp import MLP
from trainables.models.transformer import Transformer
from trainables.stacking import forward as stacked_forward
from trainables.stacking import size as stack_size
from trainables.stacking import stack
from trainables.stacking.errors import CannotStack
from trainables.stacking.optimizers import StackedOptimizer
from trainables.stacking.record import StackingRecord
from trainables.stacking.signature import signature
from trainables.torch import devices
from trainables.training import loop

METRICS = ("train_loss", "val_loss", "val_accuracy", "learning_rate", "gradient_norm")


class Normalised(MLP):
    """An MLP with batch normalisation, whose running statistics belong to each lane."""

    def model(self, config):
        return nn.Sequential(
            nn.Linear(self.dataset.features, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, self.dataset.outputs),
        )


class Repeating(MLP):
    """An MLP that uses one activation, one dropout and one layer in several places, and shares a weight."""

    def model(self, config):
        relu, dropout = nn.ReLU(), nn.Dropout(config.dropout)
        first, second = nn.Linear(config.hidden, config.hidden), nn.Linear(config.hidden, config.hidden)
        second.weight = first.weight
        inner = nn.Sequential(first, relu, dropout, second, relu, dropout, first, relu)
        return nn.Sequential(
            nn.Linear(self.dataset.features, config.hidden),
            relu,
            inner,
            nn.Linear(config.hidden, self.dataset.outputs),
        )


class Reusing(MLP):
    """An MLP that calls one dropout several times, as many networks do."""

    class Net(nn.Module):
        def __init__(self, features, hidden, outputs, p):
            super().__init__()
            self.first, self.second = nn.Linear(features, hidden), nn.Linear(hidden, outputs)
            self.dropout = nn.Dropout(p)

        def forward(self, x):
            return self.second(self.dropout(self.dropout(torch.tanh(self.first(x)))))

    def model(self, config):
        return self.Net(self.dataset.features, config.hidden, self.dataset.outputs, config.dropout)


class FunctionalDropout(MLP):
    """An MLP that draws from torch's global generator, which a stack cannot do per lane."""

    class Net(nn.Module):
        def __init__(self, features, outputs):
            super().__init__()
            self.linear = nn.Linear(features, outputs)

        def forward(self, x):
            return self.linear(functional.dropout(x, 0.5, self.training))

    def model(self, config):
        return self.Net(self.dataset.features, self.dataset.outputs)


def configs(lanes, **parts):
    """Yield configs of one shape that differ in everything else.

    One has no momentum and one no weight decay.
    """
    rng = np.random.default_rng(0)
    for lane in range(lanes):
        yield {
            "dataset": "wine",
            "hidden": 16,
            "depth": 2,
            "activation": "tanh",
            "batch_size": 20,
            "lr": float(10 ** rng.uniform(-3, -2)),
            "momentum": float(rng.uniform(0, 0.9)) if lane != 0 else 0.0,
            "weight_decay": float(10 ** rng.uniform(-5, -2)) if lane != 1 else 0.0,
            "dropout": float(rng.uniform(0.05, 0.5)),
            "seed": lane,
            **parts,
        }


def images(lanes, **parts):
    """Yield configs for a CNN on 180 digits; the last batch of an epoch is not full."""
    own = {
        "dataset": "digits",
        "validation": 0.1,
        "test": 0.8,
        "channels": 3,
        "blocks": 2,
        "normalization": "batch",
        "batch_size": 32,
    }
    for config in configs(lanes, **own, **parts):
        yield {key: value for key, value in config.items() if key not in ("hidden", "depth")}


def tokens(lanes, **parts):
    """Yield configs for a transformer on iris."""
    for config in configs(lanes, dataset="iris", width=8, heads=2, **parts):
        yield {key: value for key, value in config.items() if key != "hidden"}


def curves(trials, epochs, *, stacked, metrics=METRICS):
    found: list[list[list[float]]] = [[] for _ in trials]
    for _ in range(epochs):
        if stacked:
            type(trials[0]).fused_step(trials)
            assert all(trial._stacked_result for trial in trials)
        for trial, curve in zip(trials, found, strict=True):
            result = trial.train()
            curve.append([result[metric] for metric in metrics])
    return np.array(found)


def lanes_of(every, parts):
    """Return trials that take the values of each option in turn.

    There is one trial per value of the longest option, and at least 3.
    """
    lanes = max(3, *map(len, parts.values())) if parts else 3
    return [
        {**config, **{name: values[lane % len(values)] for name, values in parts.items()}}
        for lane, config in enumerate(every(lanes, precision="float64"))
    ]


def assert_same_curves(model, every, *, epochs=2, metrics=METRICS):
    alone = curves([model(config=dict(config)) for config in every], epochs, stacked=False, metrics=metrics)
    stacked = curves([model(config=dict(config)) for config in every], epochs, stacked=True, metrics=metrics)
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(stacked, alone, rtol=1e-8)


@pytest.mark.parametrize(
    ("model", "every", "epochs"),
    [(MLP, configs, 4), (CNN, images, 2)],
    ids=["MLP", "CNN"],
)
@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_a_lane_and_a_lone_trial_have_the_same_curve(optimizer, model, every, epochs):
    assert_same_curves(model, list(every(4, optimizer=optimizer, precision="float64")), epochs=epochs)


@pytest.mark.parametrize("model", [Normalised, Repeating, Reusing])
@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
def test_a_lane_of_an_own_model_has_the_curve_of_a_lone_trial(optimizer, model):
    assert_same_curves(model, list(configs(4, optimizer=optimizer, precision="float64")))


OPTIONS = [
    {"schedule": get_args(ScheduleName), "decay_epochs": (1, 2, 3), "plateau_patience": (0, 1)},
    {"schedule": ("plateau",), "lr": (1e-7, 1e-2), "plateau_patience": (0, 1)},
    {"warmup": (0.0, 1.5, 4.0, 0.0, 2.0), "schedule": ("cosine", "step")},
    {"clip_norm": (None, 0.05, 0.5), "clip_value": (0.02, None)},
    {"l1": (0.0, 1e-3, 1e-2), "l2": (1e-2, 0.0)},
    {"label_smoothing": (0.0, 0.1, 0.3)},
    {"label_smoothing": (0.2,), "mixup": (0.3,)},
    {"noise": (0.0, 0.1, 1.0)},
    {"mixup": (0.0, 0.2, 1.0), "noise": (0.1, 0.0)},
    {"beta1": (0.9, 0.5), "beta2": (0.9, 0.99, 0.999), "epsilon": (1e-8, 1e-3)},
    {"optimizer": ("rmsprop",), "rho": (0.9, 0.5), "epsilon": (1e-8, 1e-3)},
    {"optimizer": ("adadelta",), "rho": (0.9, 0.5), "epsilon": (1e-6, 1e-3)},
    {"optimizer": ("adagrad",), "epsilon": (1e-10, 1e-3)},
    {"initialization": get_args(Initialization)},
    {"patience": (None, 1, 2), "min_change": (0.0, 0.1)},
    {"normalization": ("batch",)},
    {"normalization": ("layer",)},
    {"normalization": ("group",), "groups": (2,), "channels": (4,)},
    {"normalization": ("weight",)},
]
"""Values that differ between lanes. A small model is tried with one entry at a time."""

COMBINED = [OPTIONS[i] | OPTIONS[j] | OPTIONS[k] for i, j, k in ((0, 4, 14), (1, 5, 16), (2, 9, 13))]
COMBINED += [OPTIONS[i] | OPTIONS[j] | OPTIONS[k] for i, j, k in ((3, 8, 10), (6, 11, 17), (7, 12, 18))]
"""The same values, several options at a time, for models that take longer to train."""


def check_lanes(model, every, parts):
    changes_with_time = parts.keys() & {"schedule", "warmup", "patience"}
    assert_same_curves(model, lanes_of(every, parts), epochs=4 if changes_with_time else 2)


@pytest.mark.parametrize("parts", OPTIONS, ids=" ".join)
def test_lanes_with_different_options_have_the_curves_of_lone_trials(parts):
    check_lanes(MLP, configs, {name: parts[name] for name in parts if name in MLP.Config.model_fields})


@pytest.mark.parametrize("parts", COMBINED, ids=" ".join)
@pytest.mark.parametrize(
    ("model", "every"), [(CNN, images), (Transformer, tokens)], ids=["CNN", "Transformer"]
)
def test_lanes_with_combined_options_have_the_curves_of_lone_trials(model, every, parts):
    check_lanes(model, every, {name: parts[name] for name in parts if name in model.Config.model_fields})


def test_every_option_is_tried_in_combination():
    tried = {(name, value) for parts in COMBINED for name, values in parts.items() for value in values}
    assert tried >= {
        (name, value) for parts in OPTIONS[:15] for name, values in parts.items() for value in values
    }


@pytest.mark.parametrize(
    "parts",
    [
        {"shift": (0, 1, 3)},
        {"flip": (0.0, 0.5, 1.0)},
        {"rotation": (0.0, 10.0, 40.0)},
        {"cutout": (0, 2, 3)},
        {"shift": (0, 1), "flip": (0.5, 0.0, 0.0), "rotation": (0.0, 5.0), "cutout": (3, 0), "mixup": (0.4,)},
        {"normalization": ("local_response",)},
        {"normalization": ("none",), "pooling": ("average",)},
    ],
    ids=" ".join,
)
def test_lanes_with_different_augmentation_have_the_curves_of_lone_trials(parts):
    assert_same_curves(CNN, lanes_of(images, parts))


def test_lanes_of_a_regression_have_the_curves_of_lone_trials():
    own = [
        {**config, "dataset": "diabetes", "mixup": 0.3, "noise": 0.1, "validation": 0.1, "test": 0.5}
        for config in configs(4, precision="float64")
    ]
    metrics = ("train_loss", "val_rmse", "learning_rate", "gradient_norm")
    assert_same_curves(MLP, own, metrics=metrics)


@pytest.mark.filterwarnings("ignore:`torch.jit")  # raised in torch's own compiler
@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"amp": "bf16"}, "amp: bf16: a stack trains in the data's type"),
        ({"compile": True}, "compile: true: each model is compiled on its own"),
    ],
    ids=["amp", "compile"],
)
def test_options_that_cannot_be_stacked_are_named(parts, reason):
    every = list(configs(2, **parts))
    assert MLP(config=dict(every[0])).fusion_key() is None
    assert MLP.why_alone(every) == reason


def test_early_stopping_of_a_lane_matches_that_of_the_lone_trial():
    every = list(configs(3, precision="float64", patience=2, min_change=10.0))
    trials = [MLP(config=dict(config)) for config in every]
    ends = []
    for _ in range(4):
        MLP.fused_step(trials)
        ends.append([trial.train()["done"] for trial in trials])
    assert ends == [[False] * 3, [False] * 3, [True] * 3, [True] * 3]


@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_single_precision_stays_within_the_stated_tolerance(optimizer):
    every = list(configs(3, optimizer=optimizer))
    alone = curves([MLP(config=dict(config)) for config in every], 10, stacked=False)
    stacked = curves([MLP(config=dict(config)) for config in every], 10, stacked=True)
    np.testing.assert_allclose(stacked, alone, rtol=1e-3)
    assert np.median(abs(stacked - alone) / alone) < 1e-6


@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_a_trial_can_move_between_a_stack_and_training_alone(optimizer, tmp_path):
    [config] = configs(1, optimizer=optimizer, precision="float64")
    others = [
        MLP(config=dict(other)) for other in configs(3, optimizer=optimizer, precision="float64", seed=9)
    ]
    expected = curves([MLP(config=dict(config))], 6, stacked=False)[0]
    trial = MLP(config=dict(config))
    first = curves([others[0], trial, others[1]], 2, stacked=True)[1]
    moved = MLP(config=dict(config))
    moved.restore(trial.save(str(tmp_path)))
    second = curves([moved], 2, stacked=False)[0]
    third = curves([others[2], moved], 2, stacked=True)[1]
    np.testing.assert_allclose(np.concatenate([first, second, third]), expected, rtol=1e-8)


def test_a_diverging_lane_does_not_affect_the_others():
    every = list(configs(3, optimizer="sgd", precision="float64"))
    diverging = {**every[1], "lr": 1e9}
    alone = curves([MLP(config=dict(config)) for config in (every[0], every[2])], 5, stacked=False)
    stacked = curves([MLP(config=dict(c)) for c in (every[0], diverging, every[2])], 5, stacked=True)
    assert not np.isfinite(stacked[1, -1, 0]) or stacked[1, -1, 0] > 1e3
    np.testing.assert_allclose(stacked[[0, 2]], alone, rtol=1e-8)


@pytest.mark.parametrize(
    "other",
    [{"hidden": 17}, {"depth": 1}, {"activation": "relu"}, {"optimizer": "adam"}, {"batch_size": 21}],
    ids=lambda other: next(iter(other)),
)
def test_trials_with_another_shape_or_optimizer_have_another_key(other):
    one, two = configs(2, optimizer="sgd")
    first, same = MLP(config=dict(one)), MLP(config=dict(two))
    assert first.fusion_key() == same.fusion_key() is not None
    assert first.fusion_key() != MLP(config={**two, **other}).fusion_key()


def test_a_new_trial_can_join_trials_that_have_trained_already():
    one, two = (MLP(config=dict(config)) for config in configs(2))
    one.train()
    assert one.fusion_key() == two.fusion_key() is not None


def test_models_that_differ_in_a_private_attribute_are_not_stacked():
    class Scaled(nn.Linear):
        _scale: float

        def forward(self, x):
            return super().forward(x) * self._scale

    class Scaling(MLP):
        def model(self, config):
            network = Scaled(self.dataset.features, self.dataset.outputs)
            network._scale = config.dropout
            return network

    one, two, three = (
        Scaling(config={**c, "dropout": p}) for c, p in zip(configs(3), (0.1, 0.1, 0.2), strict=True)
    )
    assert one.fusion_key() == two.fusion_key() is not None
    assert one.fusion_key() != three.fusion_key()


def test_a_model_that_cannot_be_vectorised_trains_alone_unaffected():
    every = list(configs(2, optimizer="sgd", precision="float64"))
    alone = curves([FunctionalDropout(config=dict(config)) for config in every], 3, stacked=False)
    trials = [FunctionalDropout(config=dict(config)) for config in every]
    FunctionalDropout.fused_step(trials)
    assert trials[0].fusion_key() is None
    assert FunctionalDropout(config={**every[0], "validation": 0.3}).fusion_key() is None
    assert (curves(trials, 3, stacked=False) == alone).all()


class Changing(nn.Linear):
    """A linear layer whose forward pass has a side effect, of one of several kinds."""

    mean: torch.Tensor

    def __init__(self, features, outputs, how):
        super().__init__(features, outputs)
        self.how, self.calls = how, 0
        self.register_buffer("mean", torch.zeros(features))
        if how == "tensor hook":
            self.weight.register_hook(lambda gradient: gradient / 2)
        if how == "module hook":
            self.register_full_backward_hook(lambda module, inputs, outputs: None)

    def forward(self, x):
        if self.training and self.how == "attribute":
            self.calls += 1
        mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        if self.training and self.how == "assigned buffer":
            self.mean = mean
        elif self.training:
            self.mean.copy_(mean)
        if self.how == "inputs":
            x.mul_(0.5)
        return super().forward(x - self.mean) / (1 + self.calls)


CHANGES = {
    "attribute": "the forward pass changes an attribute of its module",
    "assigned buffer": "the forward pass replaces buffer 'mean'; change it in place",
    "tensor hook": "parameter 'weight' has hooks",
    "module hook": "module '' has hooks",
}


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # the first layer triggers it
@pytest.mark.parametrize("how", [*CHANGES, "buffer", "inputs"])
def test_a_side_effect_of_a_forward_pass_stays_within_its_trial(how):
    class Tracking(MLP):
        def model(self, config):
            return Changing(self.dataset.features, self.dataset.outputs, how)

    every = list(configs(3, precision="float64"))
    trials = [Tracking(config=dict(config)) for config in every]
    rows = trials[0]._learner.validation[0].clone()
    alone = curves(trials, 3, stacked=False)
    trials, found = [Tracking(config=dict(config)) for config in every], []
    for _ in range(3):
        if trials[0].fusion_key() is not None:
            Tracking.fused_step(trials)
        assert all((trial._stacked_result is None) == (how in CHANGES) for trial in trials)
        results = [trial.train() for trial in trials]
        found.append([[result[metric] for metric in METRICS] for result in results])
    np.testing.assert_allclose(np.swapaxes(found, 0, 1), alone, rtol=1e-8)
    assert Tracking.why_alone(every) == CHANGES.get(how)
    assert (trials[0]._learner.validation[0] == rows).all()


def test_a_trainable_that_overrides_step_trains_alone():
    class Own(MLP):
        def step(self):
            return {**super().step(), "extra": 1.0}

    every = list(configs(2))
    assert Own(config=dict(every[0])).fusion_key() is None
    assert Own.best_lanes(every, most=8) == 1
    assert Own.why_alone(every) == "Own overrides step, which a stack would skip"


def test_a_model_that_raises_trains_alone_and_shows_its_error():
    class Raising(nn.Linear):
        def forward(self, x):
            return super().forward(dict[str, torch.Tensor]()["missing"])

    class Faulty(MLP):
        def model(self, config):
            return Raising(self.dataset.features, self.dataset.outputs)

    every = list(configs(2))
    trials = [Faulty(config=dict(config)) for config in every]
    Faulty.fused_step(trials)
    with pytest.raises(KeyError, match="missing"):
        trials[0].train()
    assert Faulty.why_alone(every) == "KeyError: 'missing'"
    assert Faulty.best_lanes(every, most=8) == 1


def test_losses_that_may_differ_between_trials_are_not_stacked():
    class Smoothed(MLP):
        def loss(self, config):
            return lambda outputs, targets: functional.cross_entropy(
                outputs, targets, label_smoothing=config.dropout
            )

    one, two = (Smoothed(config=dict(config)) for config in configs(2))
    assert one.fusion_key() != two.fusion_key()


def test_losses_of_equal_kind_and_settings_are_stacked():
    class Smoothed(MLP):
        def loss(self, config):
            return nn.CrossEntropyLoss(label_smoothing=config.dropout)

    class Weighted(MLP):
        def loss(self, config):
            return nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, config.dropout], dtype=torch.float64))

    every = list(configs(3, precision="float64", dropout=0.2))
    assert_same_curves(Smoothed, every)
    first, second = (Smoothed(config=dict(config)) for config in every[:2])
    assert first.fusion_key() == second.fusion_key() is not None
    other = Smoothed(config={**every[0], "dropout": 0.3})
    assert other.fusion_key() != first.fusion_key()
    one, two = (Weighted(config=dict(config)) for config in every[:2])
    assert one.fusion_key() != two.fusion_key()


class Accelerator:
    """The memory of a fake device in bytes: ``taken`` is in use, and each lane takes ``each``."""

    def __init__(self, monkeypatch, *, size, taken, each):
        self.size, self.taken, self.each = size, taken, each
        self.peak, self.sizes = taken, []
        monkeypatch.setattr(stack, "advance", self.train)
        monkeypatch.setattr(loop, "advance", lambda learner: self.train([learner]))
        # More lanes are always faster.
        monkeypatch.setattr(stack_size, "_seconds", lambda function: [function(), 1e-3][1])
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (size - taken, size))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: self.taken)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)

    def train(self, learners, record=None):
        self.sizes.append(len(learners))
        self.peak = max(self.peak, self.taken + self.each * len(learners))
        return [{} if self.peak <= self.size else None for _ in learners]

    def reset(self, device):
        self.peak = self.taken


@pytest.mark.parametrize(
    ("share", "taken", "most"),
    [(1.0, 0, 16), (0.5, 0, 8), (0.25, 0, 4), (1.0, 800, 8), (1.0, 1500, 1), (0.5, 1000, 1), (1.0, 700, 8)],
)
def test_the_lanes_fit_into_the_process_s_share_of_memory(share, taken, most, monkeypatch):
    """Memory in use, such as the rows common to all lanes, counts once and not per lane."""
    learners = [MLP(config=dict(config))._learner for config in configs(2, optimizer="sgd")]
    device = Accelerator(monkeypatch, size=1600, taken=taken, each=100)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    granted = SimpleNamespace(get_actor_id=lambda: "1", get_assigned_resources=lambda: {"GPU": share})
    monkeypatch.setattr(ray, "get_runtime_context", lambda: granted)
    memory = devices.memory_share(torch.device("cuda"))
    assert (
        stack_size.best_size(learners, StackingRecord(), most=256, memory=memory) == max(device.sizes) == most
    )


def test_a_number_of_lanes_that_exceeds_the_share_when_tried_is_not_chosen(monkeypatch):
    """In this stack each lane takes three times the memory of a lone trial."""
    learners = [MLP(config=dict(config))._learner for config in configs(2, optimizer="sgd")]
    device = Accelerator(monkeypatch, size=10_000, taken=0, each=100)

    def advance(learners, record):
        device.each = 300
        return device.train(learners)

    monkeypatch.setattr(stack, "advance", advance)
    assert stack_size.best_size(learners, StackingRecord(), most=256, memory=800.0) == 2
    assert device.sizes == [1, 4, 2]


def test_a_number_of_lanes_that_fails_when_tried_is_not_chosen(monkeypatch):
    """The copies for 16 lanes do not fit next to the memory of other processes."""
    learners = [MLP(config=dict(config))._learner for config in configs(2, optimizer="sgd")]
    device = Accelerator(monkeypatch, size=10_000, taken=0, each=100)
    copies = stack_size._copies

    def copied(learner, number):
        if number > 4:
            raise torch.OutOfMemoryError("device")
        return copies(learner, number)

    monkeypatch.setattr(stack_size, "_copies", copied)
    assert (
        stack_size.best_size(learners, StackingRecord(), most=256, memory=10_000.0) == max(device.sizes) == 4
    )


def test_the_number_of_lanes_is_measured_with_one_copy_of_the_data(monkeypatch):
    every = list(configs(2, optimizer="sgd"))
    learner = MLP(config=dict(every[0]))._learner
    data = {part.untyped_storage().data_ptr() for part in (*learner.training, *learner.validation)}
    copied, copy = set(), torch.Tensor.__deepcopy__

    def deepcopy(self, memo):
        copied.add(self.untyped_storage().data_ptr())
        return copy(self, memo)

    monkeypatch.setattr(torch.Tensor, "__deepcopy__", deepcopy)
    assert MLP.best_lanes(every, most=4) >= 1
    assert copied
    assert not copied & data


def test_a_model_with_an_incomparable_attribute_is_not_stacked():
    class Holding(MLP):
        def model(self, config):
            network = super().model(config)
            object.__setattr__(network, "note", {"slope": config.dropout})
            return network

    [config] = configs(1)
    trial = Holding(config=config)
    assert trial.fusion_key() is None
    with pytest.raises(CannotStack, match="holds 'note', a dict, which may differ between trials"):
        signature(trial._learner)


@pytest.mark.parametrize(("batch_size", "passes"), [(10, [15, 15, 6]), (30, [30, 6]), (100, [36])])
def test_evaluation_passes_at_least_the_batch_size_of_rows_at_once(batch_size, passes, monkeypatch):
    """Wine has 36 validation rows; the limit for all lanes together is 60 rows per pass."""
    monkeypatch.setattr(stack, "EVALUATION_ROWS", 60)
    learners = MLP._learners(list(configs(4, batch_size=batch_size)))
    rows, forward = [], stacked_forward.forward

    def counting_forward(model, **parts):
        run = forward(model, **parts)

        def counting_run(parameters, buffers, inputs):
            rows.append(len(inputs))
            return run(parameters, buffers, inputs)

        return counting_run if parts else run

    monkeypatch.setattr(stacked_forward, "forward", counting_forward)
    stack.advance(learners, StackingRecord())
    assert rows == passes


@pytest.fixture
def model():
    """Return a new trainable class, about whose models the process knows nothing."""

    class Model(MLP):
        pass

    return Model


def test_lanes_are_halved_if_memory_is_too_small_and_the_failed_size_is_not_retried(model, monkeypatch):
    every = list(configs(5, optimizer="adam", precision="float64"))
    alone = curves([model(config=dict(config)) for config in every], 2, stacked=False)
    sizes = []
    together = stack._together

    def small(learners, orders):
        sizes.append(len(learners))
        if len(learners) > 2:
            raise torch.OutOfMemoryError("device")
        return together(learners, orders)

    monkeypatch.setattr(stack, "_together", small)
    stacked = curves([model(config=dict(config)) for config in every], 2, stacked=True)
    assert sizes == [5, 2, 2, 1, 2, 2, 1]
    np.testing.assert_allclose(stacked, alone, rtol=1e-8)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 20.00 MiB."),
        (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        (RuntimeError, "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (torch.AcceleratorError, "CUDA error: out of memory\nCUDA kernel errors might be asynchronously"),
    ],
    ids=lambda value: value.split()[2] if isinstance(value, str) else value.__name__,
)
@pytest.mark.parametrize(
    ("module", "function", "lanes"),
    [
        (torch, "baddbmm", lambda bias, inputs, weight: inputs),
        (StackedOptimizer, "step", lambda optimizer, gradients: gradients[0]),
    ],
    ids=["forward", "update"],
)
def test_any_kind_of_memory_error_halves_the_lanes(
    module, function, lanes, error, message, model, monkeypatch
):
    every = list(configs(4, optimizer="sgd", precision="float64"))
    alone = curves([model(config=dict(config)) for config in every], 1, stacked=False)
    original = getattr(module, function)

    def small(*arguments):
        if len(lanes(*arguments)) > 2:
            raise error(message)
        return original(*arguments)

    monkeypatch.setattr(module, function, small)
    stacked = curves([model(config=dict(config)) for config in every], 1, stacked=True)
    assert set(model.process_state.part(StackingRecord).held.values()) == {2}
    np.testing.assert_allclose(stacked, alone, rtol=1e-8)


def test_lanes_are_halved_again_when_memory_shrinks(monkeypatch):
    learners = MLP._learners(list(configs(4, optimizer="sgd")))
    sizes, together, room = [], stack._together, 2

    def small(learners, orders):
        sizes.append(len(learners))
        if len(learners) > room:
            raise torch.OutOfMemoryError("device")
        return together(learners, orders)

    monkeypatch.setattr(stack, "_together", small)
    record = StackingRecord()
    stack.advance(learners, record)
    room = 1
    stack.advance(learners, record)
    assert sizes == [4, 2, 2, 2, 1, 1, 1, 1]
    assert all(learner.epoch == 2 for learner in learners)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_lane_that_does_not_fit_into_memory_trains_alone_unaffected(optimizer, model, monkeypatch):
    """Memory runs out at the first write-back of the last lane, after all other lanes."""
    every = list(configs(3, optimizer=optimizer, precision="float64"))
    alone = curves([model(config=dict(config)) for config in every], 2, stacked=False)
    give_back = StackedOptimizer.give_back

    def short(self):
        copies = sum(len(buffers) for buffers in self._state.values()) * sum(
            lane.optimizer == "adam" or lane.momentum > 0 for _, _, lane in self._lanes
        )
        is_short = self._lanes[-1][2].lr == every[2]["lr"]

        def clone(tensor):
            nonlocal copies
            copies -= 1
            if is_short and copies == 0:
                raise torch.OutOfMemoryError("device")
            return torch.clone(tensor)

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "clone", clone)
            give_back(self)

    monkeypatch.setattr(StackedOptimizer, "give_back", short)
    trials, found = [model(config=dict(config)) for config in every], []
    for alone_now in ([False, False, True], [False, False, False]):
        model.fused_step(trials)
        assert [trial._stacked_result is None for trial in trials] == alone_now
        results = [trial.train() for trial in trials]
        found.append([[result[metric] for metric in METRICS] for result in results])
    np.testing.assert_allclose(np.swapaxes(found, 0, 1), alone, rtol=1e-8)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    """200,000 draws, five standard deviations: odds of 1 in two million."""
    module = Dropout(p).train()
    module.key.fill_(int(keys(3, first_batch=0, batches=1, layers=1)[0, 0]))
    outputs = module(torch.ones(200, 1000))
    dropped = (outputs == 0).double().mean().item()
    assert abs(dropped - p) <= 5 * (p * (1 - p) / 200_000) ** 0.5
    assert outputs.max().item() == pytest.approx(1 / (1 - p))


def test_a_dropout_used_twice_drops_different_units_each_time():
    """A quarter of 10,000 units remain; eight standard deviations."""
    module = Dropout(0.5).train()
    stays = module(module(torch.ones(100, 100))) > 0
    assert abs(stays.double().mean().item() - 0.25) < 8 * (0.25 * 0.75 / 10_000) ** 0.5


def test_dropout_differs_between_batches_layers_and_trials():
    drawn = np.concatenate([keys(seed, first_batch=0, batches=50, layers=4).ravel() for seed in range(50)])
    assert len(set(drawn.tolist())) > len(drawn) - 10
