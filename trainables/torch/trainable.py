"""``TorchTrainable``: trains a PyTorch model on minibatches. An iteration is one epoch.

This module does not import torch, which takes a second. A driver does not need torch: it asks a class for its
metrics and shared data, and the workers train.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel
from ray.tune import Trainable
from ray.tune.result import TIME_THIS_ITER_S

from trainables.configs import (
    NetworkSettings,
    Seeds,
    SplitSettings,
    TrainingConfig,
    did_you_mean,
    parse,
)
from trainables.data import datasets, splits
from trainables.data.held_out import HeldOut, test_names
from trainables.data.shared_rows import SharedRows, further_metrics

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainables.distributed.group import Group
    from trainables.stacking.record import StackingRecord
    from trainables.training.loop import Learner
    from trainables.training.loss import Loss

ABOUT_TRAINING = ("learning_rate", "gradient_norm", "epoch_seconds", "parameters")
"""Further numbers in each result: about the epoch's last update, its training time, and the number of trained
parameters."""

M = TypeVar("M", bound=BaseModel)


class TorchTrainable(SharedRows, HeldOut, Trainable):
    """A network trained on minibatches. A subclass defines ``model`` and may override the rest.

    Results are a pure function of the config and its seeds, also after a checkpoint is restored and with
    other trials in the same process. Each result has the metrics that ``metrics`` names, and the number of
    epochs as ``training_iteration``. A diverged loss is reported unchanged.
    """

    _stacked_result: dict[str, Any] | None = None
    """The result of an epoch that was trained in a stack; the next ``step`` returns it."""

    _group: Group | None = None
    """The processes that train the trial together; ``None``: this process alone."""

    _is_sample = False
    """Whether no epoch follows. Other processes do not then set up the trial."""

    Config: ClassVar[type[TrainingConfig]] = TrainingConfig
    Settings: ClassVar[type[SplitSettings]] = NetworkSettings
    most_gpus: ClassVar[int] = 1
    """GPUs that a process of a trial can use. A subclass whose ``step`` uses several declares it."""

    own_metrics: ClassVar[Mapping[str, Callable[[Tensor, Tensor], float | Tensor]]] = {}
    """Name -> function of outputs (n x k) and targets (n). Results have its value on the validation rows as
    ``val_<name>``."""

    @classmethod
    def metrics(cls, settings: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of the metrics in each result. Raises ValueError if the settings do not fit."""
        given = parse(cls.Settings, settings, where="trainable")
        source = cls._source(given)
        splits.split(source, given, sweep_seed=0)
        usual = "val_accuracy" if source.task == "classification" else "val_rmse"
        further = (*further_metrics(given, source.task), *cls.own_metrics)
        names = ("train_loss", "val_loss", usual, *(f"val_{name}" for name in further))
        return test_names(names) if given.refit else (*names, *ABOUT_TRAINING)

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        """Raise ValueError for an impossible configuration, as far as quick checks can tell."""
        hyperparameters, settings, _ = cls._parts(config)
        source = cls._source(settings)
        datasets.refuse_missing(source, hyperparameters)
        if source.task == "regression" and cls.loss is TorchTrainable.loss:
            hyperparameters.refuse_label_smoothing()

    @classmethod
    def prepare(cls) -> None:
        """Import the modules that trials need, before the first trial's time is measured."""
        from trainables.stacking import size  # noqa: F401
        from trainables.torch import checkpoint, learner  # noqa: F401

        if os.environ.get("WORLD_SIZE", "1") != "1":
            import torch._dynamo  # noqa: F401  # DistributedDataParallel imports it, which takes seconds

    @classmethod
    def export(cls, checkpoint_dir: str, out_dir: str) -> None:
        """Write the model of a checkpoint for use elsewhere (see ``trainables.torch.export``)."""
        from trainables.torch.export import export

        export(Path(checkpoint_dir), Path(out_dir))

    def model(self, config: Any) -> nn.Module:
        """Return a new network, n x d features to n x outputs, for ``config`` and ``self.dataset``."""
        raise NotImplementedError(f"{type(self).__name__} must define model(config)")

    def loss(self, config: Any) -> Loss:
        """Return the training loss: cross-entropy, or the squared error of the standardised target."""
        from trainables.torch.learner import LOSSES

        return LOSSES[self.dataset.task]

    def setup(self, config: dict[str, Any]) -> None:
        """Start the trial that the flat ``config`` describes. Raises ValueError for an invalid one.

        The processes of one trial, which ``WORLD_SIZE`` in the environment counts, train each batch together.
        A class with its own ``step`` uses them itself.
        """
        from trainables.torch.devices import Devices
        from trainables.torch.learner import make_learner
        from trainables.training.metrics import Metrics

        self.hyperparameters, self.settings, self.seeds = self._parts(config)
        source = self._source(self.settings)
        self.dataset = self._row_cache().prepared(
            source, self.settings, self.hyperparameters, sweep_seed=self.seeds.sweep_seed
        )
        devices = self.process_state.part(Devices)
        self.device = devices.granted(self.trial_resources)
        self._join()
        try:
            self._learner = make_learner(
                lambda: self.model(self.hyperparameters),
                loss=self.loss(self.hyperparameters),
                config=self.hyperparameters,
                metrics=Metrics(source.task, further_metrics(self.settings, source.task), self.own_metrics),
                seed=self.seeds.seed,
                dataset=self.dataset,
                device=self.device,
                devices=devices,
                group=self._group,
                strategy=getattr(self.settings, "strategy", "ddp"),
            )
        except BaseException:
            self._leave()
            raise

    @property
    def epoch(self) -> int:
        """The number of epochs trained so far."""
        return self._learner.epoch

    def step(self) -> dict[str, Any]:
        """Train for one epoch and evaluate on the validation rows."""
        if self.settings.refit:
            return self._refit()
        result: dict[str, Any] = self._stacked_result or self._advance()
        self._stacked_result = None
        # Ray counts from 0 again after restore("path"), so the checkpoint's own count is reported.
        return {**result, "training_iteration": self.epoch}

    def fusion_key(self) -> Hashable | None:
        """Return a key, or ``None`` if the trial trains alone. Trials with equal keys can train as one."""
        from trainables.stacking import stack

        alone = self.settings.refit or self._has_own_step() or self._group is not None
        return None if alone else stack.fusion_key(self._learner, self._stacking())

    @classmethod
    def fused_step(cls, trials: Sequence[TorchTrainable]) -> None:
        """Train trials with equal keys for one epoch. The next ``step`` of each returns its result."""
        from trainables.stacking import stack

        started = time.perf_counter()
        results = stack.advance_together([trial._learner for trial in trials], cls._stacking())
        seconds = (time.perf_counter() - started) / len(trials)
        for trial, result in zip(trials, results, strict=True):
            if result is not None:
                trial._stacked_result = {**result, TIME_THIS_ITER_S: seconds}

    @classmethod
    def best_lanes(cls, configs: Sequence[Mapping[str, Any]], *, most: int) -> int:
        """Measure how many such trials, at most ``most``, one process trains fastest at once."""
        from trainables.stacking import size
        from trainables.torch import devices

        if cls._has_own_step():
            return 1
        try:
            learners = cls._learners(configs, stored=True)
            memory = devices.memory_share(learners[0].device)
            return size.best_size(learners, cls._stacking(), most=most, memory=memory)
        except Exception:  # each trial will report its own error when it trains
            return 1

    @classmethod
    def why_alone(cls, configs: Sequence[Mapping[str, Any]]) -> str | None:
        """Return why such trials train alone, or ``None`` if trials with equal keys train together."""
        from trainables.stacking import size

        if cls._has_own_step():
            return f"{cls.__name__} overrides step, which a stack would skip"
        return size.why_alone(cls._learners(configs), cls._stacking())

    @classmethod
    def fitting(cls, configs: Sequence[Mapping[str, Any]]) -> int:
        """Return the number of such trials that can train as one with at least one other."""
        from trainables.stacking import size

        return size.fitting(cls._learners(configs))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the trial's whole state as one file for ``torch.load(weights_only=True)``."""
        from trainables.torch import checkpoint

        path = f"{type(self).__module__}:{type(self).__qualname__}"
        parts = {
            "trainable": path,
            "config": self.hyperparameters.model_dump(),
            "settings": self.settings.model_dump(),
        }
        parts |= self.seeds.model_dump()
        checkpoint.save(self._learner, Path(checkpoint_dir), self.dataset, group=self._group, **parts)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Resume from a checkpoint of this trial or, in population-based training, of another one.

        Weights, optimizer state, random streams and epoch come from the checkpoint, hyperparameters from this
        trial. Raises ValueError when the checkpoint belongs to another model or other data.
        """
        from trainables.torch.checkpoint import load

        seed = self.seeds.sweep_seed
        load(self._learner, Path(checkpoint), self.dataset, group=self._group, sweep_seed=seed)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become a new trial in the same process."""
        # Ray keeps the last result, and would store it with a checkpoint taken before the first epoch.
        self._last_result = None
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Release the model and its optimizer, and leave the group of the trial's processes.

        PyTorch keeps the memory for later trials.
        """
        self.__dict__.pop("_learner", None)
        self._leave()

    def _join(self) -> None:
        """Connect this process with the others of the trial, if there are any."""
        from trainables.distributed.ranks import Ranks

        self._leave()
        ranks = None if self._is_sample or self._has_own_step() else Ranks.of_environment()
        if ranks is not None:
            from trainables.distributed import group

            self._group = group.join(ranks, self.device)
            self.device = self._group.device

    def _leave(self) -> None:
        if self._group is not None:
            self._group.leave()
            self._group = None

    def _advance(self) -> dict[str, float]:
        """Train for one epoch, together with the other processes of the trial."""
        from trainables.training import loop

        if self._group is None:
            return loop.advance(self._learner)
        from trainables.distributed import epochs

        return epochs.advance(self._learner, self._group)

    @classmethod
    def _stacking(cls) -> StackingRecord:
        from trainables.stacking.record import StackingRecord

        return cls.process_state.part(StackingRecord)

    @classmethod
    def _has_own_step(cls) -> bool:
        return cls.step is not TorchTrainable.step

    @classmethod
    def _learners(cls, configs: Sequence[Mapping[str, Any]], *, stored: bool = False) -> list[Learner]:
        """Return learners for the configurations that can be set up. If none can, raise the last error.

        ``stored``: keep the networks on the CPU, since the device may not hold them all at once.
        """
        learners = []
        failure: Exception | None = None
        for config in configs:
            trial = cls.__new__(cls)
            trial._trial_info = None  # Ray's own set-up would create folders for the trial
            trial._is_sample = True
            try:
                trial.setup(dict(config))
            except Exception as error:
                failure = error
            else:
                learners.append(trial._learner)
                if stored:
                    trial._learner.network.cpu()
        if failure is not None and not learners:
            raise failure
        return learners

    def _refit(self) -> dict[str, Any]:
        """Train on all rows except the test rows, then score on the test rows."""
        from trainables.torch.devices import Devices
        from trainables.torch.learner import test_scores

        for _ in range(self.settings.refit):
            result = self._advance()
        scores = test_scores(self._learner, self.dataset, self.process_state.part(Devices))
        return {
            "train_loss": result["train_loss"],
            **dict(zip(test_names(tuple(scores)), scores.values(), strict=True)),
        }

    @classmethod
    def _parts(cls, config: Mapping[str, Any]) -> tuple[Any, Any, Seeds]:
        known = [name for model in (cls.Config, cls.Settings, Seeds) for name in model.model_fields]
        unknown = [key for key in config if key not in known]
        if unknown:
            raise ValueError(
                "\n".join(f"config: unknown key '{key}'; {did_you_mean(key, known)}" for key in unknown)
            )
        return (_part(cls.Config, config), _part(cls.Settings, config), _part(Seeds, config))


def _part(model: type[M], config: Mapping[str, Any]) -> M:
    return parse(model, {key: config[key] for key in model.model_fields if key in config}, where="config")
