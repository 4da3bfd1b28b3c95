"""``Loggers``: what a sweep's loggers are told, under names that no other sweep has.

Ray Tune's callbacks name runs by trial and experiment, which here are ``00000`` and ``checkpoints`` in every
sweep. So each is shown a trial whose id is unique. One that fails ends the sweep, which can be resumed; one
that takes too long to close is cut off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback

from tuner.errors import LoggerError, SpecError, said
from tuner.sweep import Sweep

# A logger may upload what it has when a sweep has ended; whoever has interrupted one waits for it.
_SECONDS_TO_CLOSE = 120.0
_SECONDS_TO_CLOSE_WHEN_INTERRUPTED = 10.0


class NamedTrial:
    """A trial as loggers see it: Ray's own, with an id and an experiment that no other sweep has."""

    def __init__(self, trial: Trial, sweep_name: str, sweep_id: str) -> None:
        self._trial = trial
        self.trial_id = f"{sweep_name}_{sweep_id}_{trial.trial_id}"
        self.experiment_dir_name = sweep_name

    def __getattr__(self, name: str) -> Any:
        if name == "_trial":  # while it is copied, there is none yet
            raise AttributeError(name)
        return getattr(self._trial, name)

    def __str__(self) -> str:
        return self.trial_id

    __repr__ = __str__


class Loggers:
    """The loggers of a sweep. Raises SpecError when one cannot be made."""

    def __init__(self, sweep: Sweep, sweep_id: str) -> None:
        self._sweep = sweep
        self._id = sweep_id
        self._callbacks: list[tuple[str, Callback]] = []
        for number, spec in enumerate(sweep.loggers):
            try:
                self._callbacks.append((spec.kind, spec.build()))
            except SpecError as error:
                raise SpecError(problem.inside(f"loggers.{number}") for problem in error.problems) from error
        self._named: dict[Trial, NamedTrial] = {}
        self._open: set[Trial] = set()  # started, and not ended

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def setup(self, **about: Any) -> None:
        """Begin; raises LoggerError when a logger cannot."""
        for kind, callback in self._callbacks:
            try:
                callback.setup(**about)
            except Exception as error:
                raise LoggerError(f"loggers: '{kind}' cannot be set up: {_brief(error)}") from error

    def started(self, trial: Trial, **about: Any) -> None:
        """A trial runs (again)."""
        self._open.add(trial)
        self._tell("on_trial_start", trial, **about)

    def result(self, trial: Trial, result: dict[str, Any], **about: Any) -> None:
        """A trial has reported."""
        if self:
            self._tell(
                "on_trial_result", trial, result={**result, "trial_id": self._name(trial).trial_id}, **about
            )

    def checkpointed(self, trial: Trial, checkpoint: Any, **about: Any) -> None:
        """A trial has been saved."""
        self._tell("on_checkpoint", trial, checkpoint=checkpoint, **about)

    def ended(self, trial: Trial, *, failed: bool = False, **about: Any) -> None:
        """A trial has left for good; loggers hear of it if they have heard of its start."""
        if trial in self._open:
            self._open.discard(trial)
            self._tell("on_trial_error" if failed else "on_trial_complete", trial, **about)

    def close(self, trials: Iterable[Trial], *, interrupted: bool) -> list[str]:
        """Close all loggers, and say what went wrong with it.

        Trials that have not ended are over for those that keep something open for each.
        """
        seconds = _SECONDS_TO_CLOSE_WHEN_INTERRUPTED if interrupted else _SECONDS_TO_CLOSE
        deadline = time.monotonic() + seconds
        named = [self._name(trial) for trial in trials] if self else []
        closings = [
            _Closing(kind, callback, self._open_trials(), named) for kind, callback in self._callbacks
        ]
        self._open.clear()
        return [said for closing in closings if (said := closing.wait(deadline, seconds)) is not None]

    def _open_trials(self) -> list[NamedTrial]:
        return [self._name(trial) for trial in self._open]

    def _name(self, trial: Trial) -> NamedTrial:
        if trial not in self._named:
            self._named[trial] = NamedTrial(trial, self._sweep.name, self._id)
        return self._named[trial]

    def _tell(self, method: str, trial: Trial, *, trials: list[Trial], **about: Any) -> None:
        for kind, callback in self._callbacks:
            known = {"trials": _Named(self, trials), "trial": self._name(trial), **about}
            try:
                getattr(callback, method)(**known)
            except Exception as error:
                what = f"loggers: '{kind}' failed in {method} of trial {trial.trial_id}: {_brief(error)}"
                raise LoggerError(what) from error


class _Named(Sequence[NamedTrial]):
    """The trials of a sweep as loggers see them, named when they are looked at: mostly nobody does."""

    def __init__(self, loggers: Loggers, trials: list[Trial]) -> None:
        self._loggers = loggers
        self._trials = trials

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, index: Any) -> Any:
        found = self._trials[index]
        return _Named(self._loggers, found) if isinstance(found, list) else self._loggers._name(found)


class _Closing:
    """The end of one logger, in a thread of its own, so that nobody has to wait for it."""

    def __init__(
        self, kind: str, callback: Callback, still_open: list[NamedTrial], trials: list[NamedTrial]
    ) -> None:
        self._kind = kind
        self._callback = callback
        self._parts = still_open, trials
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._close, name=f"tuner-close-{kind}", daemon=True)
        self._thread.start()

    def wait(self, deadline: float, seconds: float) -> str | None:
        """What went wrong, if anything did by ``deadline``."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            return f"logger '{self._kind}' was cut off after {seconds:g} s; it may not have sent everything"
        if self._error is not None:
            return f"logger '{self._kind}' failed as it was closed: {_brief(self._error)}"
        return None

    def _close(self) -> None:
        still_open, trials = self._parts
        try:
            if isinstance(self._callback, LoggerCallback):
                for trial in still_open:
                    self._callback.log_trial_end(trial)
            self._callback.on_experiment_end(trials=trials)
        except Exception as error:
            self._error = error


def _brief(error: Exception) -> str:
    return said(error).splitlines()[0]
