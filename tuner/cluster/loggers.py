"""``Loggers``: calls the Ray Tune callbacks of a sweep, with trial names that are unique across sweeps.

Ray Tune's callbacks name a run after its trial and experiment. In our sweeps these are always ``00000`` and
``checkpoints``, so we pass a trial with a unique id instead. A logger that fails ends the sweep, which can be
resumed. A logger that takes too long to close is cut off.
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

# A logger may upload its data when the sweep ends. The time is short after an interrupt, as the user waits.
_SECONDS_TO_CLOSE = 120.0
_SECONDS_TO_CLOSE_WHEN_INTERRUPTED = 10.0


class NamedTrial:
    """Ray's trial with an id and an experiment name that are unique across sweeps."""

    def __init__(self, trial: Trial, sweep_name: str, sweep_id: str) -> None:
        self._trial = trial
        self.trial_id = f"{sweep_name}_{sweep_id}_{trial.trial_id}"
        self.experiment_dir_name = sweep_name

    def __getattr__(self, name: str) -> Any:
        if name == "_trial":  # a copy has no attributes at first
            raise AttributeError(name)
        return getattr(self._trial, name)

    def __str__(self) -> str:
        return self.trial_id

    __repr__ = __str__


class Loggers:
    """The loggers of a sweep that are Ray Tune callbacks. Raises SpecError if one cannot be created."""

    def __init__(self, sweep: Sweep, sweep_id: str) -> None:
        self._sweep = sweep
        self._id = sweep_id
        self._callbacks: list[tuple[str, Callback]] = []
        for number, spec in enumerate(sweep.loggers):
            if spec.tracker() is not None:
                continue
            try:
                self._callbacks.append((spec.kind, spec.build()))
            except SpecError as error:
                raise SpecError(problem.inside(f"loggers.{number}") for problem in error.problems) from error
        self._named: dict[Trial, NamedTrial] = {}
        self._open: set[Trial] = set()  # trials that have started and not ended

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def setup(self, **about: Any) -> None:
        """Set up all loggers. Raises LoggerError if one fails."""
        for kind, callback in self._callbacks:
            try:
                callback.setup(**about)
            except Exception as error:
                raise LoggerError(f"loggers: '{kind}' cannot be set up: {_brief(error)}") from error

    def started(self, trial: Trial, **about: Any) -> None:
        """Tell the loggers that a trial started or restarted."""
        self._open.add(trial)
        self._tell("on_trial_start", trial, **about)

    def result(self, trial: Trial, result: dict[str, Any], **about: Any) -> None:
        """Tell the loggers about a trial's result."""
        if self:
            self._tell(
                "on_trial_result", trial, result={**result, "trial_id": self._name(trial).trial_id}, **about
            )

    def checkpointed(self, trial: Trial, checkpoint: Any, **about: Any) -> None:
        """Tell the loggers about a trial's checkpoint."""
        self._tell("on_checkpoint", trial, checkpoint=checkpoint, **about)

    def ended(self, trial: Trial, *, failed: bool = False, **about: Any) -> None:
        """Tell the loggers that a trial ended, if they know that it started."""
        if trial in self._open:
            self._open.discard(trial)
            self._tell("on_trial_error" if failed else "on_trial_complete", trial, **about)

    def close(self, trials: Iterable[Trial], *, interrupted: bool) -> list[str]:
        """Close all loggers, and return a message for each failure.

        For each trial that has not ended, ``log_trial_end`` is called first.
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
    """The trials of a sweep as loggers see them. Names are created on access, since few loggers use them."""

    def __init__(self, loggers: Loggers, trials: list[Trial]) -> None:
        self._loggers = loggers
        self._trials = trials

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, index: Any) -> Any:
        found = self._trials[index]
        return _Named(self._loggers, found) if isinstance(found, list) else self._loggers._name(found)


class _Closing:
    """Closes one logger in a separate thread, so that it can be abandoned."""

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
        """Wait until ``deadline``, and return what went wrong; ``None`` if nothing did."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            return f"logger '{self._kind}' was cut off after {seconds:g} s; it may not have sent everything"
        if self._error is not None:
            return f"logger '{self._kind}' failed to close: {_brief(self._error)}"
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
