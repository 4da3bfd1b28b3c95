"""``OptunaTrial``: the trial that an Optuna objective gets. The sweep chooses its values and prunes it."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import BaseTrial

from tuner.errors import TrialError
from tuner.worker import results
from tuner.worker.session import Stopped

if TYPE_CHECKING:
    from tuner.code.functions import OptunaObjective
    from tuner.worker.session import InProcess, Session


def run_objective(objective: OptunaObjective, session: Session, reporter: InProcess) -> dict[str, Any]:
    """Run an objective and report the value that it returns. Return what its last result adds to say.

    Raises TrialError if it returns no number.
    """
    trial = OptunaTrial(session, reporter)
    try:
        output = objective.function(trial)
    except optuna.TrialPruned:
        return {results.PRUNED: True}
    values = output if isinstance(output, Sequence) and not isinstance(output, str) else (output,)
    if len(values) != len(session.objectives):
        wanted = "a number" if len(session.objectives) == 1 else f"{len(session.objectives)} numbers"
        raise TrialError(f"the objective must return {wanted}, got {output!r}")
    trial.conclude([_number(value, "the objective must return a number") for value in values])
    return {}


class OptunaTrial(BaseTrial):
    """Optuna's ``Trial`` for a trial of a sweep.

    - ``suggest_*``: the sweep's searcher chooses the value; with a declared space it is the configuration's.
    - ``report``: a result. ``should_prune``: whether the sweep's scheduler stopped the trial at it.
    - ``set_user_attr``: a metric of all later results.
    """

    def __init__(self, session: Session, reporter: InProcess) -> None:
        reporter.should_stop()  # so that ``report`` returns when the trial must end
        self._session = session
        self._reporter = reporter
        self._metrics = session.objectives
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._steps: dict[int, float] = {}
        self._unreported = False  # whether there are attributes that no result has
        self._is_stopped = False
        self._began = datetime.datetime.now()
        self.study = _Study(session.modes)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        if len(self._metrics) > 1:
            raise NotImplementedError("Trial.report is not supported for multi-objective optimization.")
        number, step = _number(value, "trial.report takes a number"), int(step)
        if step < 0:
            raise ValueError(f"the step must not be negative, got {step}")
        if step in self._steps:  # as in Optuna, the first report of a step counts
            return
        self._steps[step] = number
        self._send([number], step)

    def should_prune(self) -> bool:
        if len(self._metrics) > 1:
            raise NotImplementedError("Trial.should_prune is not supported for multi-objective optimization.")
        return self._is_stopped

    def set_user_attr(self, key: str, value: Any) -> None:
        if key in self._metrics or key == "step":
            raise ValueError(f"a user attribute cannot be called {key!r}, because a metric is; rename it")
        self._user_attrs[key] = value
        self._unreported = True

    def set_constraint(self, key: str, value: float) -> None:
        raise NotImplementedError(
            "a sweep's searcher knows no constraints on results; report a penalised value"
        )

    def conclude(self, values: Sequence[float]) -> None:
        """Report the returned values, unless the last report was the same."""
        last = list(self._steps.values())[-1:]
        if self._unreported or list(values) != last:
            self._send(values, max(self._steps) + 1 if self._steps else None)

    @property
    def params(self) -> dict[str, Any]:
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        return dict(self._user_attrs)

    @property
    def system_attrs(self) -> dict[str, Any]:
        """Always empty: a sweep has no attributes of Optuna's samplers."""
        return {}

    @property
    def constraints(self) -> dict[str, float]:
        return {}

    @property
    def datetime_start(self) -> datetime.datetime:
        return self._began

    @property
    def number(self) -> int:
        return int(self._session.trial_info.id)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._distributions:
            check_distribution_compatibility(self._distributions[name], distribution)
            return self._params[name]
        if self._is_stopped:
            raise Stopped(0)
        dimension, values = _written(distribution)
        answer = self._session.ask(name, dimension)
        if answer.error is not None:
            raise TrialError(f"trial.suggest: {answer.error}")
        self._distributions[name] = distribution
        self._params[name] = values[_position(answer.value, dimension)] if values else answer.value
        return self._params[name]

    def _send(self, values: Sequence[float], step: int | None) -> None:
        if self._is_stopped:  # the objective continues although it must end
            raise Stopped(0)
        metrics = {key: _metric(value) for key, value in self._user_attrs.items()}
        metrics |= dict(zip(self._metrics, values, strict=True)) | ({} if step is None else {"step": step})
        self._unreported = False
        self._reporter.report(metrics, None, 0)
        self._is_stopped = self._session.stopping.is_set()


class _Study:
    """The part of a study that callbacks of other libraries read."""

    study_name = "sweep"

    def __init__(self, modes: Sequence[str]) -> None:
        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        self.directions = [up if mode == "max" else down for mode in modes]
        self.direction = self.directions[0]
        self.user_attrs: dict[str, Any] = {}

    def _is_multi_objective(self) -> bool:
        return len(self.directions) > 1

    def __getattr__(self, name: str) -> Any:
        where = "the study of a sweep is in the driver"
        raise AttributeError(f"trial.study has no '{name}' here: {where}, and trials run in other processes")


def _written(distribution: BaseDistribution) -> tuple[dict[str, Any], Sequence[Any]]:
    """Return a distribution as a sweep file writes it, and the objects that a choice's values represent."""
    if isinstance(distribution, CategoricalDistribution):
        return {"choice": [_option(choice) for choice in distribution.choices]}, distribution.choices
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = distribution.low, distribution.high
    if low == high:
        return {"choice": [low]}, [low]
    options: dict[str, Any] = {"log": True} if distribution.log else {}
    if distribution.step not in (None, 1) or (distribution.step == 1 and isinstance(low, float)):
        options["step"] = distribution.step
    return {"int" if isinstance(distribution, IntDistribution) else "float": [low, high], **options}, ()


def _position(value: Any, dimension: Mapping[str, Any]) -> int:
    """Return the position of a choice's value: 1 and 1.0 are equal, True is neither."""
    listed = dimension["choice"]
    return next(
        i
        for i, each in enumerate(listed)
        if each == value and isinstance(each, bool) == isinstance(value, bool)
    )


def _option(value: Any) -> Any:
    """Return a choice's value as the journal holds it."""
    value = _metric(value)
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _metric(value: Any) -> Any:
    """Return a value as a result and the journal hold it: a number, text or nothing; else its text."""
    value = results.plain(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or value is None:
        raise TrialError(f"{what}, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TrialError(f"{what}, got {value!r}") from None
