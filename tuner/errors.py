"""The errors that users see.

TunerError
├── SpecError           a sweep (or a part of one) is wrong; carries every problem found
├── ResultsError        a results folder is missing, taken, or not one of ours
│   └── UntrustedError  its code was not run: someone else, or another machine, wrote the folder
├── LoggerError         a logger cannot be set up, or has failed while a sweep ran
├── ClusterError        the cluster cannot be started, joined, or can never meet the request
└── TrialError          a result that cannot count; raised in the worker, fails its trial alone
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass


class TunerError(Exception):
    """Base of every error that tuner raises on purpose; its text is a sentence for the user."""


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands (a dotted path, may be empty) and what is wrong with it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    def inside(self, where: str) -> Problem:
        """The same problem, seen from the part that holds it."""
        return Problem(".".join(part for part in (where, self.where) if part), self.what)


class SpecError(TunerError, ValueError):
    """A sweep, or a part of one, is wrong. ``problems`` holds every mistake that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class ResultsError(TunerError):
    """A results folder is missing, already taken, or was not written by tuner."""


class UntrustedError(ResultsError):
    """A results folder names code, and nothing shows that this user wrote it. Nothing was imported."""


class LoggerError(TunerError):
    """A logger cannot be set up, or has failed while a sweep ran."""


class ClusterError(TunerError):
    """The cluster cannot be started or joined, or can never hold a trial of the requested size."""


class TrialError(TunerError):
    """A trial reported something that cannot count as a result; only that trial fails."""


def said(error: BaseException) -> str:
    """The type and text of an error, as in ``KeyError: 'lr'``, also of one whose text cannot be made."""
    text = traceback.TracebackException.from_exception(error, limit=0)
    return f"{type(error).__name__}: {text}".removesuffix(": ")
