"""``TorchTrainable``: trains one PyTorch model by minibatches, an iteration being an epoch."""

import os
import time
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import ray
import torch
from pydantic import BaseModel, Field
from ray.tune import Trainable
from ray.tune.result import TIME_THIS_ITER_S
from torch import Tensor, nn
from torch.nn import functional

from trainables import data, optimizers, stack
from trainables.data import Dataset, Part
from trainables.dropout import replace_dropout
from trainables.loop import Learner, Loss, advance, squared_error
from trainables.randomness import Streams
from trainables.recipe import DataSettings, Recipe, TrainingConfig, did_you_mean, parse

CHECKPOINT_FILE = "checkpoint.pt"
CHECKPOINT_FORMAT = 1

_ON_DEVICE: WeakKeyDictionary[Part, dict[torch.device, tuple[Tensor, Tensor]]] = WeakKeyDictionary()
"""One copy of a data set per device and process, shared by its trials, which only read it."""

_ADOPTED: dict[type, tuple[BaseModel, int, Dataset]] = {}
"""By class, the data set that this process was handed, with the settings and sweep seed that it is for."""

_UNSTACKABLE: dict[Hashable, str] = {}
"""Fusion keys of models that turned out not to be vectorisable, and why."""

M = TypeVar("M", bound=BaseModel)


class Seeds(Recipe):
    """``seed`` is the trial's own: weights, order of the rows, dropout. ``sweep_seed`` fixes the splits."""

    seed: int = Field(0, ge=0)
    sweep_seed: int = Field(0, ge=0)


class TorchTrainable(Trainable):
    """A network trained by minibatches; a subclass gives ``model`` and, where they differ, the rest.

    Results are a pure function of the config and its seeds, also after a checkpoint is restored and
    with other trials in the same process. Each result has the metrics named by ``metrics`` and the
    number of epochs as ``training_iteration``. A diverged loss is reported as it is.
    """

    _in_stack: dict[str, Any] | None = None  # the result of an epoch that was trained in a stack

    Config: ClassVar[type[TrainingConfig]] = TrainingConfig
    Settings: ClassVar[type[BaseModel]] = DataSettings

    @classmethod
    def metrics(cls, settings: dict[str, Any]) -> tuple[str, ...]:
        """Names of the metrics that each result has; raises ValueError if the settings cannot be met."""
        dataset = cls.data(parse(cls.Settings, settings, where="trainable"), sweep_seed=0)
        return ("train_loss", "val_loss", "val_accuracy" if dataset.task == "classification" else "val_rmse")

    @classmethod
    def data(cls, settings: Any, *, sweep_seed: int) -> Dataset:
        """The data set that ``settings`` (a ``Settings``) describes."""
        return data.load(settings, sweep_seed=sweep_seed)

    @classmethod
    def shared(cls, settings: dict[str, Any], *, sweep_seed: int) -> Dataset:
        """What all trials of a sweep read and none changes: made once, and handed to each process."""
        return cls.data(parse(cls.Settings, settings, where="trainable"), sweep_seed=sweep_seed)

    @classmethod
    def adopt(cls, settings: dict[str, Any], shared: Dataset, *, sweep_seed: int) -> None:
        """Take what ``shared`` returned for these settings, so that no trial here loads it again."""
        _ADOPTED[cls] = parse(cls.Settings, settings, where="trainable"), sweep_seed, shared

    def model(self, config: Any) -> nn.Module:
        """A new network for ``config`` (a ``Config``) and ``self.dataset``: n x d features to n x outputs."""
        raise NotImplementedError(f"{type(self).__name__} must define model(config)")

    def loss(self, config: Any) -> Loss:
        """What training minimises: cross-entropy, or the squared error of the standardised target."""
        return functional.cross_entropy if self.dataset.task == "classification" else squared_error

    def setup(self, config: dict[str, Any]) -> None:
        """Start the trial that the flat ``config`` describes; raises ValueError for keys of no one."""
        self.hyperparameters, self.settings, self.seeds = self._parts(config)
        self.dataset = self._dataset()
        self.device = self._granted_device()
        streams = Streams(self.seeds.seed, self.device)
        training = _tensors(self.dataset.training, self.device)
        with streams.borrowed():
            network = replace_dropout(self.model(self.hyperparameters))
        # Built on the CPU in float32, so that every device and precision starts from the same weights.
        network = network.to(self.device, training[0].dtype)
        self._learner = Learner(
            network=network,
            optimizer=optimizers.build(self.hyperparameters, network.parameters()),
            loss=self.loss(self.hyperparameters),
            config=self.hyperparameters,
            streams=streams,
            seed=self.seeds.seed,
            training=training,
            validation=_tensors(self.dataset.validation, self.device),
            task=self.dataset.task,
            target_scale=self.dataset.scaler.target_scale,
        )

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return self._learner.epoch

    def step(self) -> dict[str, Any]:
        """Train for one epoch and evaluate on the validation rows."""
        result: dict[str, Any] = self._in_stack or advance(self._learner)
        self._in_stack = None
        # Ray counts from 0 again after restore("path"); the checkpoint knows better.
        return {**result, "training_iteration": self.epoch}

    def fusion_key(self) -> Hashable | None:
        """What trials must have in common to be trained as one; ``None``: this one trains alone."""
        try:
            key = stack.signature(self._learner)
        except stack.CannotStack:
            return None
        return None if key in _UNSTACKABLE else key

    @classmethod
    def fused_step(cls, trials: Sequence["TorchTrainable"]) -> None:
        """Train trials of one fusion key for one epoch; each one's next ``step`` gives its result."""
        started = time.perf_counter()
        learners = [trial._learner for trial in trials]
        try:
            results = stack.advance(learners)
        except stack.CannotStack as error:
            _UNSTACKABLE[stack.signature(learners[0])] = str(error)
            return
        seconds = (time.perf_counter() - started) / len(trials)
        for trial, result in zip(trials, results, strict=True):
            trial._in_stack = {**result, TIME_THIS_ITER_S: seconds}

    @classmethod
    def best_lanes(cls, configs: Sequence[Mapping[str, Any]], *, most: int) -> int:
        """How many trials like these are best trained at once in one process, at most ``most``; measured."""
        try:
            learners = cls._learners(configs)
        except Exception:  # the trials will say themselves what is wrong, each for itself
            return 1
        return stack.best_size(learners, most=most)

    @classmethod
    def why_alone(cls, configs: Sequence[Mapping[str, Any]]) -> str | None:
        """Why no trials like these are trained as one; ``None``: those of one fusion key are."""
        return stack.why_alone(cls._learners(configs))

    @classmethod
    def fitting(cls, configs: Sequence[Mapping[str, Any]]) -> int:
        """How many of these trials could be trained as one with another of them."""
        return stack.fitting(cls._learners(configs))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write all that the next epoch depends on, as one file for ``torch.load(weights_only=True)``."""
        scaler = self.dataset.scaler
        _write(
            Path(checkpoint_dir, CHECKPOINT_FILE),
            {
                "format": CHECKPOINT_FORMAT,
                "epoch": self.epoch,
                "config": self.hyperparameters.model_dump(),
                "settings": self.settings.model_dump(),
                **self.seeds.model_dump(),
                "model": self._learner.network.state_dict(),
                "optimizer": self._learner.optimizer.state_dict(),
                "generators": self._learner.streams.state_dict(),
                "scaler": {
                    "mean": torch.tensor(scaler.mean),
                    "scale": torch.tensor(scaler.scale),
                    "target_mean": scaler.target_mean,
                    "target_scale": scaler.target_scale,
                },
                "feature_names": list(self.dataset.feature_names),
                "class_names": list(self.dataset.class_names),
            },
        )

    def load_checkpoint(self, checkpoint: str) -> None:
        """Go on from a checkpoint, of this trial or, in population-based training, of another one.

        Weights, optimizer state, random streams and epoch come from the checkpoint, hyperparameters
        from this trial. Raises ValueError when the checkpoint's model or data are others.
        """
        state = torch.load(Path(checkpoint, CHECKPOINT_FILE), map_location="cpu", weights_only=True)
        self._refuse_other_data(state)
        try:
            self._learner.network.load_state_dict(state["model"])
        except RuntimeError as error:
            own = self.hyperparameters.model_dump()
            theirs = {key: value for key, value in state["config"].items() if own.get(key) != value}
            ours = {key: own.get(key) for key in theirs}
            raise ValueError(
                "checkpoint: its weights do not fit this trial's model; must be of the same shapes, "
                f"got a checkpoint with {theirs} where this trial has {ours}"
            ) from error
        optimizers.load_state(
            self._learner.optimizer,
            state["optimizer"],
            saved=state["config"]["optimizer"],
            own=self.hyperparameters.optimizer,
        )
        self._learner.streams.load_state_dict(state["generators"])
        self._learner.epoch = state["epoch"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become a new trial in the same process."""
        # Ray keeps the last result, and would file it with a checkpoint taken before the first epoch.
        self._last_result = None
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Release the model and its optimizer, and the accelerator memory that only they used."""
        self.__dict__.pop("_learner", None)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()

    @classmethod
    def _learners(cls, configs: Sequence[Mapping[str, Any]]) -> list[Learner]:
        """Learners for those configurations that can be set up; raises what the last one did if none can."""
        learners = []
        failure: Exception | None = None
        for config in configs:
            trial = cls.__new__(cls)
            trial._trial_info = None  # Ray's own set-up would make folders for it
            try:
                trial.setup(dict(config))
            except Exception as error:
                failure = error
            else:
                learners.append(trial._learner)
        if failure is not None and not learners:
            raise failure
        return learners

    def _dataset(self) -> Dataset:
        wanted = self.settings, self.seeds.sweep_seed
        *given, dataset = _ADOPTED.get(type(self), (None, None, None))
        if dataset is not None and tuple(given) == wanted:
            return dataset
        return self.data(self.settings, sweep_seed=self.seeds.sweep_seed)

    def _parts(self, config: Mapping[str, Any]) -> tuple[Any, Any, Seeds]:
        known = [name for model in (self.Config, self.Settings, Seeds) for name in model.model_fields]
        unknown = [key for key in config if key not in known]
        if unknown:
            raise ValueError(
                "\n".join(f"config: unknown key '{key}'; {did_you_mean(key, known)}" for key in unknown)
            )
        return (_part(self.Config, config), _part(self.Settings, config), _part(Seeds, config))

    def _granted_device(self) -> torch.device:
        resources = self.trial_resources
        if resources is not None:
            gpus = resources.required_resources.get("GPU", 0)
        else:
            gpus = len(ray.get_gpu_ids()) if ray.is_initialized() else 0
        if gpus > 0 and not torch.cuda.is_available():
            raise RuntimeError(
                f"resources.gpu: the trial was granted a GPU, but this PyTorch ({torch.__version__}) "
                "sees none; install a build with CUDA on every node, or set gpu to 0"
            )
        return torch.device("cuda" if gpus > 0 else "cpu")

    def _refuse_other_data(self, state: dict[str, Any]) -> None:
        own = (list(self.dataset.feature_names), list(self.dataset.class_names))
        same_names = (state["feature_names"], state["class_names"]) == own
        # Other splits or other rows give other means; the tolerance is for the rounding of another machine.
        mean = torch.tensor(self.dataset.scaler.mean)
        if not same_names or not torch.allclose(state["scaler"]["mean"], mean):
            raise ValueError(
                "checkpoint: was trained on other rows; must have this trial's data and "
                f"sweep_seed {self.seeds.sweep_seed}, got sweep_seed {state['sweep_seed']} "
                f"and {state['settings']}"
            )


def _tensors(part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
    copies = _ON_DEVICE.setdefault(part, {})
    if device not in copies:
        copies[device] = (
            torch.tensor(part.features, device=device),
            torch.tensor(part.targets, device=device),
        )
    return copies[device]


def _part(model: type[M], config: Mapping[str, Any]) -> M:
    return parse(model, {key: config[key] for key in model.model_fields if key in config}, where="config")


def _write(path: Path, state: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
