"""Population-based training (Jaderberg et al. 2017, arXiv:1711.09846)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tuner.errors import Problem
from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers.base import Scheduler, SchedulerSpec
from tuner.space import Config, Dimension, Float, Int, Ordinal, SearchSpace
from tuner.spec import Count, Number, did_you_mean

# If this many explorations lie outside the space, the source's values are kept.
_ATTEMPTS = 100


class Pbt(SchedulerSpec):
    """Population-based training (Jaderberg et al. 2017, arXiv:1711.09846).

    The trials of the sweep are the population. Any searcher may choose their first configurations. At each
    interval, trials wait for each other. Then the worst trials copy the weights and hyperparameters of the
    best (truncation selection) and change the hyperparameters.

    A checkpoint restores the optimizer of the trial that wrote it. ``apply_config(config)`` of a trainable
    class is called after each restore. A function calls ``tuner.client.apply_config(config, optimizer)``
    itself.
    """

    kind: Literal["pbt"] = "pbt"
    interval: Count | None = Field(
        default=None,
        description="resource between two comparisons of the population; none: a tenth of the maximum",
    )
    quantile: Annotated[Number, Field(gt=0, le=0.5)] = Field(
        default=0.25,
        description="share of the population that counts as the worst, and as the best; the worst copy "
        "the best",
    )
    resample: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.25,
        description="probability that a copied hyperparameter is drawn again from the space; otherwise "
        "a number is multiplied, an ordinal moves by one place and a choice stays",
    )
    factors: tuple[Annotated[Number, Field(gt=0)], Annotated[Number, Field(gt=0)]] = Field(
        default=(0.8, 1.2),
        description="two factors; a copied number is multiplied by one and kept within its bounds",
    )
    mutate: tuple[str, ...] | None = Field(
        default=None,
        description="hyperparameters to change; the model must be able to change them while it trains "
        "(layer sizes cannot change); none: all float ones",
    )

    pauses: ClassVar[bool] = True
    needs_maximum: ClassVar[bool] = True
    reconfigures: ClassVar[bool] = True

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        if trials is None:
            problems.append(Problem("", "needs the size of the population; set budget.trials"))
        most = self.most(iterations)
        if self.interval is not None and most is not None and self.interval >= max(2, most):
            limit = "budget.iterations" if most == iterations else "maximum"
            problems.append(Problem("interval", f"must be below {limit} ({most}), got {self.interval}"))
        return problems

    def space_problems(self, space: SearchSpace) -> list[Problem]:
        if self.mutate is None:
            what = "must name hyperparameters to explore, because the space has no 'float'"
            explored = any(isinstance(dimension, Float) for dimension in space.dimensions.values())
            return [] if explored else [Problem("mutate", what)]
        searched = [space.name(key) for key in space.dimensions]
        return [
            Problem("mutate", f"'{name}' is not searched in this space{did_you_mean(name, searched)}")
            for name in self.mutate
            if name not in searched
        ]

    def reconfigured(
        self, config: Config, decision: Decision, *, space: SearchSpace, rng: np.random.Generator
    ) -> Config:
        for _ in range(_ATTEMPTS):
            explored = self._explore(config, space, rng)
            if space.contains(explored):
                return explored
        return config

    def _explore(self, config: Config, space: SearchSpace, rng: np.random.Generator) -> Config:
        before = space.by_key(config)

        def choose(key: str, dimension: Dimension) -> Any:
            mutates = self._mutates(space.name(key), dimension)
            if key not in before or (mutates and rng.random() < self.resample):
                return dimension.sample(rng)
            factor = self.factors[int(rng.integers(2))] if mutates else 1.0
            return perturbed(before[key], dimension, factor) if mutates else before[key]

        return space.build(choose)

    def _mutates(self, name: str, dimension: Dimension) -> bool:
        return isinstance(dimension, Float) if self.mutate is None else name in self.mutate

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        return _PbtScheduler(self, objective, iterations, seed)


def perturbed(value: Any, dimension: Dimension, factor: float) -> Any:
    """Return a number times ``factor``, within its bounds and on its step.

    An ordinal moves to the next value, down if ``factor`` is at most 1. Other values are returned unchanged.
    """
    if isinstance(dimension, Ordinal):
        ordered = dimension.values()
        neighbour = dimension.index(value) + (1 if factor > 1 else -1)
        return ordered[min(max(neighbour, 0), len(ordered) - 1)]
    if not isinstance(dimension, (Float, Int)):
        return value
    step = dimension.step
    moved = value * factor
    if step is not None:
        steps = round((moved - dimension.low) / step)
        if dimension.low + steps * step == value:  # the change is smaller than a step
            steps += 1 if moved > value else -1
        moved = dimension.low + steps * step
    moved = min(max(moved, dimension.low), dimension.high)
    return round(moved) if isinstance(dimension, Int) else float(moved)


class _PbtScheduler(Scheduler):
    def __init__(self, spec: Pbt, objective: Objective, maximum: int, seed: int) -> None:
        self._objective = objective
        self._maximum = maximum
        self._seed = seed
        self._interval = spec.interval or max(1, maximum // 10)
        self._quantile = spec.quantile
        self._running: set[int] = set()
        self._waiting: dict[int, Decision] = {}  # trial -> the decision to pause it
        self._resumable: list[Decision] = []
        self._rungs: dict[int, int] = {}  # trial -> the highest rung at which it has waited
        self._is_closed = False

    def add(self, trial: int) -> None:
        self._running.add(trial)
        self._rungs[trial] = 0

    def report(self, trial: int, resource: float, value: float) -> Decision:
        if resource >= self._maximum:
            return Decision(trial, Action.COMPLETE, resource, value)
        # A trial that reports rarely waits at the highest multiple that it has passed.
        rung = int(resource // self._interval) * self._interval
        if rung <= self._rungs[trial]:
            return Decision(trial, Action.CONTINUE, resource, value)
        self._rungs[trial] = rung
        decision = Decision(trial, Action.PAUSE, resource, value, rung=rung)
        self._running.discard(trial)
        self._waiting[trial] = decision
        self._exploit()
        return decision

    def decides_at(self, trial: int) -> int:
        return min(self._rungs[trial] + self._interval, self._maximum)

    def end(self, trial: int, ending: Ending) -> None:
        self._running.discard(trial)
        self._waiting.pop(trial, None)
        self._resumable = [decision for decision in self._resumable if decision.trial != trial]
        self._exploit()

    def close(self) -> None:
        self._is_closed = True
        self._exploit()

    def resume(self) -> Decision | None:
        if not self._resumable:
            return None
        decision = self._resumable.pop(0)
        self._running.add(decision.trial)
        return decision

    def _exploit(self) -> None:
        """Let the worst trials copy the best, once all trials wait.

        Only trials at the lowest rung take part.
        """
        if not self._is_closed or self._running or self._resumable or not self._waiting:
            return
        rung = min(self._rungs[trial] for trial in self._waiting)
        score = {
            trial: self._objective.score(each.value)
            for trial, each in self._waiting.items()
            if self._rungs[trial] == rung and each.value is not None
        }
        ranked = sorted(score, key=lambda trial: (-score[trial], trial))
        count = min(max(1, int(len(ranked) * self._quantile)), len(ranked) // 2)
        rng = np.random.default_rng([self._seed, rung])
        exploiting: list[Decision] = []
        continuing: list[Decision] = []
        for rank, trial in enumerate(ranked, start=1):
            source = ranked[int(rng.integers(count))] if rank > len(ranked) - count else trial
            is_behind = score[source] > score[trial]
            decision = self._decision(trial, rank, len(ranked), source if is_behind else None)
            (exploiting if is_behind else continuing).append(decision)
        # Exploiting trials resume first, so the checkpoint that they copy is still their source's last.
        self._resumable = exploiting + sorted(continuing, key=lambda decision: decision.trial)

    def _decision(self, trial: int, rank: int, of: int, source: int | None) -> Decision:
        waited = self._waiting.pop(trial)
        return Decision(
            trial,
            Action.RESUME,
            waited.resource,
            waited.value,
            rank=rank,
            of=of,
            rung=waited.rung,
            reason=None if source is None else f"continues from trial {source:05d}",
            source=source,
        )
