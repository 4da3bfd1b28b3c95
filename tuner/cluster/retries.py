"""``Retries``: which trials that raised an error are tried again, and what their errors say of the process.

A trial is tried again in a fresh process. If it has the same error there, the error is the trial's own, and
no other trial with that error is tried again. If it does not, and that happens repeatedly, then trials do not
get along in one process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CURES = 2
"""An error that this many trials had in a used process and not in a fresh one comes from sharing."""


@dataclass
class _Failure:
    """The last failure of a trial: after which iteration, with which error, how often without progress."""

    iteration: int
    error: str
    times: int
    used: bool


class Retries:
    """``most``: how often a trial may fail without progress in between; ``None``: as the errors suggest."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._failures: dict[int, _Failure] = {}
        self._own: set[str] = set()  # errors that a fresh process had, too
        self._cured: dict[str, int] = {}

    def tries_again(self, trial: int, error: str, *, iteration: int, used: bool) -> bool:
        """Whether a trial is tried again after an error.

        ``iteration``: its last; ``used``: whether its process had had other trials. A result that does not
        count, which has no traceback, is no error that could pass.
        """
        what = _signature(error)
        if what is None:
            return False
        before = self._failures.get(trial)
        stuck = before is not None and iteration <= before.iteration
        if (stuck and before is not None and before.error == what) or not (used or iteration):
            self._own.add(what)
        times = before.times + 1 if stuck and before is not None else 1
        self._failures[trial] = _Failure(iteration, what, times, used)
        if self._most is not None:
            return times <= self._most
        return what not in self._own and times == 1 and (used or iteration > 0)

    def progressed(self, trial: int, iteration: int) -> str | None:
        """Take note of a result.

        Returns the error that trials have because they share a process, at the result that shows it.
        """
        failure = self._failures.get(trial)
        if failure is None or iteration <= failure.iteration:
            return None
        del self._failures[trial]
        if not failure.used:
            return None
        self._cured[failure.error] = self._cured.get(failure.error, 0) + 1
        return failure.error if self._cured[failure.error] == _CURES else None


def _signature(error: str) -> str | None:
    """Where an error was raised and its type, from its traceback; ``None``: it has none."""
    places = re.findall(r'^  File "(.+?)", line (\d+)', error, flags=re.MULTILINE)
    if not places:
        return None
    file, line = places[-1]
    named = error.strip().splitlines()[-1].partition(":")[0]
    return f"{named} ({file}, line {line})"
