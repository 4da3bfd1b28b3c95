"""``Retries``: decides which trials to retry after an error, and detects trials that disturb each other.

A failed trial is retried in a new process. If the same error occurs there, the trial causes it, and no other
trial with this error is retried. If the error disappears in several trials, trials that share a process
disturb each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CURES = 2
"""The cause is a shared process if an error disappears in a new process for this many trials."""


@dataclass
class _Failure:
    """The last failure of a trial."""

    iteration: int
    """The trial's last iteration before the failure."""
    error: str
    times: int
    """The number of failures without progress in between."""
    used: bool
    """Whether other trials had run in the process."""


class Retries:
    """Decides about retries.

    ``most`` is the number of retries without progress in between. ``None`` means that the errors decide.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._failures: dict[int, _Failure] = {}
        self._permanent: set[str] = set()  # errors that a new process does not cure
        self._cured: dict[str, int] = {}  # number of trials without the error in a new process

    def tries_again(self, trial: int, error: str, *, iteration: int, used: bool) -> bool:
        """Return whether to retry a trial after an error.

        ``iteration`` is the trial's last one, and ``used`` says whether other trials had run in its process.
        An error without a traceback is an invalid result, which a retry would not cure.
        """
        what = _signature(error)
        if what is None:
            return False
        before = self._failures.get(trial)
        stuck = before is not None and iteration <= before.iteration
        if (stuck and before is not None and before.error == what) or not (used or iteration):
            self._permanent.add(what)
        times = before.times + 1 if stuck and before is not None else 1
        self._failures[trial] = _Failure(iteration, what, times, used)
        if self._most is not None:
            return times <= self._most
        return what not in self._permanent and times == 1 and (used or iteration > 0)

    def progressed(self, trial: int, iteration: int) -> str | None:
        """Record a result. If it proves that an error comes from a shared process, return that error."""
        failure = self._failures.get(trial)
        if failure is None or iteration <= failure.iteration:
            return None
        del self._failures[trial]
        if not failure.used:
            return None
        self._cured[failure.error] = self._cured.get(failure.error, 0) + 1
        return failure.error if self._cured[failure.error] == _CURES else None


def _signature(error: str) -> str | None:
    """Return an error's type and source line from its traceback; ``None`` if there is no traceback."""
    places = re.findall(r'^  File "(.+?)", line (\d+)', error, flags=re.MULTILINE)
    if not places:
        return None
    file, line = places[-1]
    named = error.strip().splitlines()[-1].partition(":")[0]
    return f"{named} ({file}, line {line})"


def disturbance(errors: str) -> str:
    """Return a note for the user that trials with these errors disturb each other."""
    what = f"trials fail because other trials ran in the same process: {errors}"
    return f"{what}; each trial now gets a new process (resources.isolation: process)"
