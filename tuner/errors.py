"""The exceptions of tuner.

TunerError
├── SpecError           a sweep or one of its parts is wrong; carries every problem found
├── ResultsError        a results folder is missing, taken, or not written by tuner
│   └── UntrustedError  another user or machine wrote the results folder, so its code was not run
├── LoggerError         a logger cannot be set up, or failed while a sweep ran
├── ClusterError        the cluster cannot be started or joined, or can never meet the request
└── TrialError          a trial failed; raised in the worker, ends only its trial
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass


class TunerError(Exception):
    """Base of every error that tuner raises on purpose. Its text is written for the user."""


@dataclass(frozen=True)
class Problem:
    """One mistake."""

    where: str
    """Dotted path of the faulty part; may be empty."""

    what: str
    """What is wrong, what must hold, and the value that was found."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    def inside(self, where: str) -> Problem:
        """Return the same problem with the path of the enclosing part in front."""
        return Problem(".".join(part for part in (where, self.where) if part), self.what)


class SpecError(TunerError, ValueError):
    """A sweep, or a part of one, is wrong. ``problems`` holds every mistake found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class ResultsError(TunerError):
    """A results folder is missing, already taken, or was not written by tuner."""


class UntrustedError(ResultsError):
    """A results folder names code, and no signature shows that this user wrote it. No code was imported."""


class LoggerError(TunerError):
    """A logger cannot be set up, or failed while a sweep ran."""


class ClusterError(TunerError):
    """The cluster cannot be started or joined, or can never hold a trial of the requested size."""


class TrialError(TunerError):
    """A trial failed: its code raised an error, or it reported an invalid result. Other trials continue.

    ``at``: the time of the failure, as ``time.time`` returns it.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.at = time.time()


def said(error: BaseException) -> str:
    """Return an error's type and text, as in ``KeyError: 'lr'``. Works even if the error's ``str`` fails."""
    text = traceback.TracebackException.from_exception(error, limit=0)
    return f"{type(error).__name__}: {text}".removesuffix(": ")
