"""``TrainableSpec``: find and load a trainable, and check a sweep against what it declares.

``tuner.contract`` lists what a trainable may declare.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from tuner import contract
from tuner.code.functions import OPTUNA_OBJECTIVE, OptunaObjective, innermost, misfit, objective_misfit
from tuner.code.importing import import_tune, importing
from tuner.code.modules import import_path
from tuner.code.nesting import NESTED, clash, nest
from tuner.declarations import (
    fields_of,
    invalid,
    metric_problems,
    model_of,
    sample_problems,
    settings_problems,
    space_problems,
    split_error,
)
from tuner.errors import Problem, SpecError
from tuner.hints import for_trainable
from tuner.space import Config, SearchSpace, is_json, misplaced_problems
from tuner.spec import (
    ALIKE,
    Spec,
    describe,
    did_you_mean,
    kind_and_settings,
    locate,
    nearest,
)

if TYPE_CHECKING:
    from ray.tune import Trainable


class Entry(Protocol):
    """A row in a table of trainables: import paths and a one-line summary."""

    @property
    def path(self) -> str: ...
    @property
    def config(self) -> str: ...
    @property
    def settings(self) -> str: ...
    @property
    def summary(self) -> str: ...


@cache
def trainables() -> dict[str, Entry]:
    """Return short name -> entry, from the entry points in ``tuner.trainables`` of all installed packages."""
    found: dict[str, Entry] = {}
    for point in entry_points(group="tuner.trainables"):
        found.update(point.load())
    return found


class TrainableSpec(Spec):
    """A trainable and its settings."""

    kind: str | type | Callable[..., Any]
    """A short name, an import path like ``package.module:Class`` or ``file.py:function``, or the object."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Everything else under ``trainable:``."""

    takes_trial: bool = False
    """Whether it is an Optuna objective, a function of a trial (``kind: optuna_objective``)."""

    @classmethod
    def parse(cls, value: Any) -> TrainableSpec:
        """Build from a sweep's entry: a name, a mapping with ``kind`` and settings, a class or a function."""
        if isinstance(value, TrainableSpec):
            return value
        if isinstance(value, Mapping):
            kind, rest = kind_and_settings(value, what="trainable")
            if kind == OPTUNA_OBJECTIVE:
                return cls(kind=_objective(rest), takes_trial=True)
            large = "; bind objects to the trainable with ray.tune.with_parameters"
            problems = [
                problem.inside(key)
                for key, item in rest.items()
                for problem in misplaced_problems(item, instead="write a hyperparameter under 'space'")
            ]
            problems += [
                Problem(
                    key, f"a setting must be a value that JSON can write, got {type(item).__name__}{large}"
                )
                for key, item in rest.items()
                if not is_json(item) and not any(problem.where.split(".")[0] == key for problem in problems)
            ]
            if problems:
                raise SpecError(problems)
            return cls(kind=kind, settings=rest)
        if isinstance(value, str) or callable(value):
            return cls(kind=value)
        raise SpecError(
            [
                Problem(
                    "", f"must be a name, a mapping with 'kind', a class or a function, got {describe(value)}"
                )
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the trainable as a sweep file writes it."""
        if self.takes_trial:
            return {"kind": OPTUNA_OBJECTIVE, "objective": self.name}
        return {"kind": self.name, **self.settings}

    def replaced_by(self, code: Any) -> dict[str, Any]:
        """Return this part of a sweep with another class or function."""
        return {**self.to_dict(), ("objective" if self.takes_trial else "kind"): code}

    @property
    def name(self) -> str:
        """The name of the trainable in files and messages."""
        if isinstance(self.kind, str):
            return self.kind
        return import_path(innermost(self.kind))

    @property
    def listed(self) -> bool:
        """Whether ``tuner list trainables`` shows it."""
        return isinstance(self.kind, str) and self.kind in trainables()

    def is_importable(self) -> bool:
        """Return whether another process can find the trainable by its name alone."""
        if isinstance(self.kind, str):
            return True
        if self.kind.__module__ == "__main__":
            return False
        try:
            return locate(self.name, {}, what="trainable") is self.kind
        except SpecError:
            return False

    def load(self) -> type[Trainable] | Callable[..., Any]:
        """Import and return the class or function. Raises SpecError when that is impossible."""
        with importing():
            return self._load()

    def _load(self) -> type[Trainable] | Callable[..., Any]:
        found = self.kind
        if isinstance(found, str):
            paths = {name: entry.path for name, entry in trainables().items()}
            if found in paths:
                import_tune()  # before a class of Ray Tune's imports it in full
            elif nearest(found, [OPTUNA_OBJECTIVE], likeness=ALIKE) is not None:
                example = f"{{kind: {OPTUNA_OBJECTIVE}, objective: file.py:function}}"
                raise SpecError([Problem("", f"unknown trainable '{found}'; write {example}")])
            elif (remedy := for_trainable(found)) is not None:
                raise SpecError([Problem("", f"unknown trainable '{found}'; {remedy}")])
            found = locate(found, paths, what="trainable")
        if inspect.isclass(found):
            import_tune()
            from ray.tune import Trainable

            if not issubclass(found, Trainable):
                what = f"'{self.name}' must be a subclass of ray.tune.Trainable or a function"
                estimator = hasattr(found, "fit") and hasattr(found, "predict")
                what += f"; write {{kind: sklearn, estimator: {self.name}}}" if estimator else ""
                raise SpecError([Problem("", what)])
            return found
        if self.takes_trial:
            return self._as_objective(found)
        if not callable(found):
            raise SpecError(
                [Problem("", f"'{self.name}' must be a class or a function, got {describe(found)}")]
            )
        if (reason := misfit(found, self.name)) is not None:
            raise SpecError([Problem("", reason)])
        return found

    def _as_objective(self, found: Any) -> OptunaObjective:
        what = f"'{self.name}' must be a function of a trial, got {describe(found)}"
        reason = objective_misfit(found, self.name) if callable(found) else what
        if reason is not None:
            raise SpecError([Problem("objective", reason)])
        return OptunaObjective(found)

    def problems(
        self,
        *,
        space: SearchSpace | None,
        metrics: Sequence[str],
        iterations: int | None,
        reads_data: bool = True,
    ) -> list[Problem]:
        """Import the trainable, and return its contradictions with the rest of the sweep.

        - ``space``: ``None`` if the sweep's space is invalid.
        - ``metrics``: names of the objectives' metrics.
        - ``iterations``: the maximum of a trial, or ``None`` if there is none.
        - ``reads_data``: whether checks may read the data.
        """
        try:
            trainable = self.load()
        except SpecError as error:
            return [problem.inside("trainable") for problem in error.problems]
        what = "must be a pydantic model, got"
        problems = [
            Problem("trainable", f"'{self.name}'.{part} {what} {getattr(trainable, part)!r}")
            for part in ("Config", "Settings")
            if hasattr(trainable, part) and model_of(trainable, part) is None
        ]
        problems += contract.problems(trainable, self.name)
        problems += settings_problems(self, trainable, space)
        settings_are_wrong = bool(problems)
        if space is not None:
            problems += space_problems(self, trainable, space)
            if (
                self.settings.get(NESTED) is True
                and (names := clash([*space.names, *self.settings])) is not None
            ):
                what = f"'{names[0]}' is a value, so '{names[1]}' cannot be inside it (nested: true)"
                problems.append(Problem("space", what))
            if not problems and reads_data and isinstance(trainable, contract.ChecksConfigurations):
                problems += sample_problems(self, trainable, space)
                settings_are_wrong = bool(problems)  # wrong settings have no metrics to ask for
        if inspect.isclass(trainable) and iterations is None:
            problems.append(
                Problem("budget.iterations", "must be given: a class trainable runs until it is stopped")
            )
        if metrics and not settings_are_wrong and isinstance(trainable, contract.NamesMetrics):
            problems += metric_problems(self, trainable, metrics)
        return problems

    def declared(self) -> set[str]:
        """Return the names of the hyperparameters that the trainable declares. Imports it."""
        return set(fields_of(self.load(), "Config"))

    def can_save(self) -> bool:
        """Return whether its trials can write checkpoints, as far as is known before they run."""
        import_tune()
        from ray.tune import Trainable

        trainable = self.load()
        inherited = getattr(Trainable, "save_checkpoint")  # noqa: B009
        return not inspect.isclass(trainable) or getattr(trainable, "save_checkpoint") is not inherited  # noqa: B009

    def seems_to_save(self) -> bool:
        """Return whether its trials appear to write checkpoints. The file of a function must mention them."""
        trainable = self.load()
        if isinstance(trainable, contract.DeclaresCheckpoints):
            return trainable.writes_checkpoints(dict(self.settings))
        if inspect.isclass(trainable):
            return self.can_save()
        try:
            module = inspect.getmodule(innermost(trainable))
            text = inspect.getsource(module if module is not None else trainable)
        except (OSError, TypeError):  # a notebook cell or a C extension has no source
            return True
        return "checkpoint" in text.lower() or "restore(" in text

    def declares_no_checkpoints(self) -> bool:
        """Return whether the trainable itself says that its trials write no checkpoints."""
        return isinstance(self.load(), contract.DeclaresCheckpoints) and not self.seems_to_save()

    def files(self) -> Sequence[Path]:
        """Return the user's files that trials run, besides imported modules."""
        trainable = self.load()
        if not isinstance(trainable, contract.DeclaresFiles):
            return ()
        return trainable.files(dict(self.settings))

    def seconds_to_stop(self) -> float:
        """Return how many seconds a stopped trial may take to end."""
        trainable = self.load()
        if not isinstance(trainable, contract.StopsSlowly):
            return 0.0
        return trainable.seconds_to_stop(dict(self.settings))

    def value_problems(self, name: str, value: Any) -> list[Problem]:
        """Return the model's problems with one value of a hyperparameter."""
        model = model_of(self.load(), "Config")
        return [] if model is None else invalid(model, {name: value}, only=name)

    def gpu_problems(self, gpus: float) -> list[Problem]:
        """Return a problem if a process of a trial cannot use this number of GPUs."""
        trainable = self.load()
        if not isinstance(trainable, contract.BoundsGpus) or gpus <= trainable.most_gpus:
            return []
        most = trainable.most_gpus
        several = "; write resources.processes for more" if most and self._most_processes() > 1 else ""
        uses = "no more in a process" if several else "no more" if most else "none"
        what = f"a trial of {self.name} uses {uses}; must be at most {most}, got {gpus:g}{several}"
        return [Problem("resources.gpu", what)]

    def process_problems(self, processes: int) -> list[Problem]:
        """Return a problem if this number of processes cannot train a trial."""
        most = self._most_processes()
        what = f"a trial of {self.name} trains in no more; must be at most {most:g}, got {processes}"
        return [Problem("resources.processes", what)] if processes > most else []

    def _most_processes(self) -> float:
        trainable = self.load()
        most = trainable.most_processes if isinstance(trainable, contract.BoundsProcesses) else math.inf
        return 1 if self.takes_trial else most

    def lanes(self, samples: Sequence[Mapping[str, Any]]) -> str | None:
        """Return a note on whether trials like ``samples`` train together, or ``None`` if it is unknown.

        Raises SpecError when such trials cannot be built.
        """
        trainable: Any = self.load()
        if not (
            isinstance(trainable, contract.TrainsInLanes) and isinstance(trainable, contract.ExplainsLanes)
        ):
            return None
        try:
            reason = trainable.why_alone(samples)
            together = 0 if reason is not None else trainable.fitting(samples)
        except Exception as error:
            what = f"{self.name} raised {type(error).__name__} for a trial of this sweep: {error}"
            raise SpecError([Problem("trainable", what)]) from error
        if reason is not None:
            return f"trials train one after another: {reason}"
        return (
            "trials of the same shape train together "
            f"({together} of {len(samples)} sampled trials match another)"
        )

    def shared(self, *, seed: int) -> Any:
        """Return the object that all trials of a sweep with this seed read, or ``None`` for nothing."""
        trainable = self.load()
        if not isinstance(trainable, contract.SharesData):
            return None
        return trainable.shared(dict(self.settings), sweep_seed=seed)

    def repeated(self, *, seed: int, repeats: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return settings for repeats of a trial, and what each repeat adds to the trial's configuration.

        Raises SpecError when the trainable cannot be evaluated.
        """
        shared, additions = self._call_evaluation("repeated", sweep_seed=seed, repeats=repeats)
        return dict(shared), list(additions)

    def final(self, *, seed: int, iterations: int, metric: str) -> tuple[dict[str, Any], str]:
        """Return settings of a trial that is scored on the test rows, and the name of ``metric`` there.

        Raises SpecError when the trainable cannot be evaluated.
        """
        settings, name = self._call_evaluation("final", sweep_seed=seed, iterations=iterations, metric=metric)
        return dict(settings), str(name)

    def _call_evaluation(self, method: str, **arguments: Any) -> Any:
        trainable = self.load()
        if not isinstance(trainable, contract.CanBeEvaluated):
            needs = "its class must have 'repeated' and 'final' (tuner.contract.CanBeEvaluated)"
            instead = "for a function or script, run the best configuration again with other seeds"
            how = "tuner report DIR --replay > best.yaml, then tuner run best.yaml --set budget.trials=5"
            what = f"{needs}; {instead}: {how}"
            raise SpecError([Problem("trainable", f"cannot evaluate '{self.name}': {what}")])
        try:
            return getattr(trainable, method)(dict(self.settings), **arguments)
        except ValueError as error:
            found = split_error(str(error), fields_of(trainable, "Settings"))
            raise SpecError(problem.inside("trainable") for problem in found) from error

    def given(self, config: Config, *, seed: int, sweep_seed: int) -> dict[str, Any]:
        """Return the mapping that the trainable receives: hyperparameters, settings and the two seeds."""
        settings = dict(self.settings)
        is_nested = self.nests() and settings.pop(NESTED)
        given = {**config, **settings, "seed": seed, "sweep_seed": sweep_seed}
        return nest(given) if is_nested else given

    def nests(self) -> bool:
        """Return whether ``nested: true`` is meant for us. A trainable that declares it does this itself."""
        return self.settings.get(NESTED) is True and NESTED not in fields_of(self.load(), "Settings")


def _objective(settings: Mapping[str, Any]) -> Any:
    """Return the objective in the settings of ``kind: optuna_objective``."""
    problems = [
        Problem("", f"unknown key '{key}'{did_you_mean(key, ['objective'])}")
        for key in settings
        if key != "objective"
    ]
    objective = settings.get("objective")
    if not (isinstance(objective, str) or callable(objective)):
        example = f"as in {{kind: {OPTUNA_OBJECTIVE}, objective: objective.py:objective}}"
        problems.append(Problem("objective", f"must name a function of a trial, {example}"))
    if problems:
        raise SpecError(problems)
    return objective
