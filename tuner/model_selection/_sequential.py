"""Run the trials of a search one after another in this process, without Ray."""

from __future__ import annotations

import math
import secrets
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuner.cluster.origin import beginning
from tuner.errors import TrialError
from tuner.journal import Journal
from tuner.journal.events import (
    Action,
    Closed,
    Decision,
    Ended,
    Event,
    Finished,
    Result,
    Started,
    Suggested,
)
from tuner.model_selection._evaluation import SearchCandidate
from tuner.objective import Ending
from tuner.state import Instruction, SweepState
from tuner.sweep import Sweep


def run_here(
    sweep: Sweep, folder: Path, candidate: Callable[[dict[str, Any]], SearchCandidate], *, raises: bool
) -> None:
    """Run a sweep to its end, and write its journal into ``folder``.

    - ``candidate``: builds a candidate from its configuration.
    - ``raises``: whether to raise the error of the first trial that fails.
    """
    journal = Journal(folder)
    try:
        journal.write(beginning(sweep, secrets.token_hex(4), began=time.time(), importable=True))
        _Run(sweep, journal, candidate, raises=raises).to_the_end()
        journal.write(Closed())
    finally:
        journal.close()


class _Run:
    """The driver of a sweep's state for one trial at a time."""

    def __init__(
        self,
        sweep: Sweep,
        journal: Journal,
        candidate: Callable[[dict[str, Any]], SearchCandidate],
        *,
        raises: bool,
    ) -> None:
        self._sweep = sweep
        self._state = SweepState.begin(sweep)
        self._journal = journal
        self._candidate = candidate
        self._raises = raises
        self._began = time.monotonic()
        self._open: dict[int, SearchCandidate] = {}  # candidates that run or are paused
        self._seconds: dict[int, float] = {}  # the training time of each

    def to_the_end(self) -> None:
        """Run trials until none is left or a budget is used up."""
        while self._state.reason is None and (number := self._next()) is not None:
            self._train(number)
        for number in list(self._open):
            self._end(number, "stopped")
        self._journal.write(Finished(self._state.reason or "trials"))

    def _next(self) -> int | None:
        """Return the trial to run: a paused one that the scheduler resumes, else a new one."""
        while True:
            if (resumed := self._state.resume()) is not None:
                self._record(resumed)
                return resumed.trial
            if (suggested := self._state.suggest()) is not None:
                self._journal.write(suggested)
                self._begin(suggested)
                return suggested.trial
            dropped = self._state.drop()
            for decision in dropped:
                self._record(decision)
                self._end(decision.trial, "stopped")
            if not dropped:
                return None

    def _begin(self, suggested: Suggested) -> None:
        self._open[suggested.trial] = self._candidate(suggested.config)
        self._seconds[suggested.trial] = 0.0

    def _train(self, number: int) -> None:
        """Evaluate a trial until it pauses or ends, or a budget is used up."""
        self._apply(Started(number))
        while True:
            began = time.monotonic()
            try:
                metrics = self._open[number].step()
                value = metrics[self._sweep.objective.metric]
                if not math.isfinite(value):
                    raise TrialError(f"'{self._sweep.objective.metric}' must be finite, got {value}")
            except Exception:
                if self._raises:
                    raise
                return self._end(number, "failed", traceback.format_exc())
            self._seconds[number] += time.monotonic() - began
            decision = self._report(number, metrics, value)
            self._check_time(number)
            if decision.action is Action.PAUSE:
                return None
            if decision.action in (Action.STOP, Action.COMPLETE):
                return self._end(number, "stopped" if decision.action is Action.STOP else "completed")
            if self._state.reason is not None:
                return self._end(number, "stopped")
            if self._seconds[number] >= (self._sweep.budget.trial_seconds or math.inf):
                self._record(self._state.time_is_up(number))
                return self._end(number, "stopped")

    def _report(self, number: int, metrics: dict[str, Any], value: float) -> Decision:
        event = Result(
            number,
            iteration=self._open[number].iteration,
            value=value,
            seconds=self._seconds[number],
            metrics={name: _as_json(item) for name, item in metrics.items()},
        )
        [decision] = [each for each in self._apply(event) if isinstance(each, Decision)]
        self._record(decision)
        return decision

    def _check_time(self, number: int) -> None:
        if time.monotonic() - self._began >= (self._sweep.budget.seconds or math.inf):
            self._state.give_up("seconds")

    def _end(self, number: int, ending: Ending, error: str | None = None) -> None:
        self._apply(Ended(number, ending, error))
        del self._open[number]

    def _apply(self, event: Event) -> list[Instruction]:
        self._journal.write(event)
        return self._state.apply(event)

    def _record(self, decision: Decision) -> None:
        if decision.is_notable:
            self._journal.write(decision)


def _as_json(value: Any) -> Any:
    """Return a metric as the journal holds it: a number that is not finite becomes ``None``."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
