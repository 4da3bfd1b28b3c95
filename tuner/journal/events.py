"""Every kind of event that a journal can hold: one frozen dataclass each, with the JSON of its row.

A journal may be damaged, or come from a stranger. ``Reader`` checks each row once, so that whoever reads
an event can trust its types. Optional fields are left out of the JSON when they have their default.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import MISSING, dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, Self, cast, get_type_hints

from tuner.journal import rules
from tuner.journal.rules import Rule, require
from tuner.objective import Ending
from tuner.spec import RENAMED

_CHECKPOINTS = "checkpoints"


def checkpoint_name(path: str) -> str:
    """The part of a checkpoint's path that stays when the results folder moves: from ``checkpoints/`` on.

    A path without such a part is returned as it is.
    """
    parts = path.split("/")
    if _CHECKPOINTS not in parts:
        return path
    last = len(parts) - 1 - parts[::-1].index(_CHECKPOINTS)
    return "/".join(parts[last:])


def is_checkpoint_name(name: str) -> bool:
    """Whether a name lies below ``checkpoints/``, and so in the results folder."""
    first, *rest = name.split("/")
    return first == _CHECKPOINTS and bool(rest) and all(re.fullmatch(r"\w[\w.-]*", part) for part in rest)


_STORED_PATH = rules.TEXT._replace(read=checkpoint_name)


class _Field(NamedTuple):
    """A field of an event that its JSON holds."""

    name: str
    rule: Rule
    default: Any
    """``MISSING``: it is required."""


@cache
def _fields(cls: Any) -> tuple[_Field, ...]:
    """The fields of a kind of event that its JSON holds."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        _Field(each.name, hints[each.name].__metadata__[0], each.default)
        for each in dataclasses.fields(cls)
        if each.name not in ("time", "trial")
    )


@dataclass(frozen=True)
class Event:
    """One entry of a journal.

    ``time``: when it was written, in seconds since 1970; 0 before it is. Times do not tell events apart.
    """

    kind: ClassVar[str]

    time: float = field(default=0.0, kw_only=True, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The data of its row."""
        values = ((each, getattr(self, each.name)) for each in _fields(cast(Any, type(self))))
        return {
            each.name: value for each, value in values if each.default is MISSING or value != each.default
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], *, time: float = 0.0, trial: int | None = None) -> Self:
        """The event of a row. Raises ValueError when its data are not those of this kind."""
        of_trial = issubclass(cls, TrialEvent)
        about = "must" if of_trial else "must not"
        require((trial is not None) == of_trial, f"'{cls.kind}' {about} name a trial", trial)
        values: dict[str, Any] = {} if trial is None else {"trial": trial}
        for name, rule, default in _fields(cast(Any, cls)):
            if default is MISSING:
                require(name in data, f"'{cls.kind}' must have '{name}'")
            elif data.get(name) is None:
                continue
            value = data[name]
            require(rule.holds(value), f"'{name}' of '{cls.kind}' must be {rule.what}", value)
            values[name] = rule.read(value)
        return cls(**values, time=time)


@dataclass(frozen=True)
class TrialEvent(Event):
    """An event of one trial, which is numbered from 0."""

    trial: int


@dataclass(frozen=True)
class SweepBegan(Event):
    """The first event of every journal."""

    kind = "sweep"

    sweep: Annotated[dict[str, Any], rules.OBJECT]
    """Resolved, without ``out``."""
    version: Annotated[Any, rules.ANYTHING] = None
    """Of tuner."""
    id: Annotated[str | None, rules.TEXT] = None
    """Of this sweep alone."""
    began: Annotated[float | None, rules.AMOUNT] = None
    """When it was asked for, in seconds since 1970."""
    sources: Annotated[Any, rules.ANYTHING] = None
    """Fingerprints of what its searcher learns from, by setting."""
    folder: Annotated[Any, rules.ANYTHING] = None
    """Where it was started: relative paths are meant from there."""
    signature: Annotated[str | None, rules.TEXT] = None
    """Of the user who began it (see ``tuner.trust``)."""
    code: Annotated[Any, rules.ANYTHING] = None
    """Hashes of the trainable's files."""
    importable: Annotated[Any, rules.ANYTHING] = None
    """Whether the trainable's name is enough to find it."""

    @property
    def settings(self) -> dict[str, Any]:
        """The sweep in the words of this version."""
        settings = self.sweep
        for part, before, now, _ in RENAMED:
            old = settings.get(part)
            if isinstance(old, dict) and before in old:
                renamed = {now if key == before else key: value for key, value in old.items()}
                settings = {**settings, part: renamed}
        return settings


@dataclass(frozen=True)
class Suggested(TrialEvent):
    """A trial came to be."""

    kind = "suggested"

    config: Annotated[dict[str, Any], rules.OBJECT]
    seed: Annotated[int, rules.COUNT]


@dataclass(frozen=True)
class Started(TrialEvent):
    """The trial runs (again), maybe from its checkpoint."""

    kind = "started"

    node: Annotated[str, rules.TEXT] = ""
    """The address of its machine."""


@dataclass(frozen=True)
class Result(TrialEvent):
    """The trial has reported."""

    kind = "result"

    iteration: Annotated[int, rules.COUNT]
    value: Annotated[float | None, rules.MAYBE_NUMBER]
    """Of the (first) objective."""
    seconds: Annotated[float, rules.AMOUNT]
    """Training time so far."""
    metrics: Annotated[dict[str, Any], rules.OBJECT]
    values: Annotated[tuple[float, ...], rules.NUMBERS] = ()
    """Of all objectives, where there are several."""
    done: Annotated[bool, rules.FLAG] = False
    """Whether the trial ended by itself with this result, so that no scheduler decides on it."""


class Action(StrEnum):
    """What becomes of a trial."""

    CONTINUE = "continue"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    COMPLETE = "complete"


_ACTION = rules.one_of(*Action)._replace(read=Action)


@dataclass(frozen=True)
class Decision(TrialEvent):
    """What a scheduler decides about a trial, and all that led to it."""

    kind = "decision"

    action: Annotated[Action, _ACTION]
    resource: Annotated[float, rules.NUMBER]
    """What the trial had used, iterations unless the sweep says otherwise."""
    value: Annotated[float | None, rules.NUMBER] = None
    cutoff: Annotated[float | None, rules.NUMBER] = None
    """The worst value that was let through, where the decision had one."""
    rank: Annotated[int | None, rules.COUNT] = None
    """Among ``of`` trials; 1 is the best."""
    of: Annotated[int | None, rules.COUNT] = None
    rung: Annotated[int | None, rules.NUMBER] = None
    """The resource at which they were compared."""
    bracket: Annotated[int | None, rules.COUNT] = None
    """Which of the scheduler's, from 0."""
    reason: Annotated[str | None, rules.TEXT] = None
    """What else led to it, in a few words."""
    source: Annotated[int | None, rules.COUNT] = None
    """The trial resumes from the last checkpoint of this one (or its own), with the hyperparameters that
    ``SchedulerSpec.reconfigured`` makes of that one's."""

    @property
    def is_notable(self) -> bool:
        """Whether it belongs into a journal: something changes, or a comparison was made."""
        return self.action is not Action.CONTINUE or self.rank is not None


@dataclass(frozen=True)
class Reconfigured(TrialEvent):
    """The trial continues with this configuration, from the checkpoint of ``iteration`` of ``source``.

    The source is another trial or itself.
    """

    kind = "reconfigured"

    source: Annotated[int, rules.COUNT]
    iteration: Annotated[int, rules.COUNT]
    config: Annotated[dict[str, Any], rules.OBJECT]
    checkpoint: Annotated[str, _STORED_PATH] = ""
    """The trial's own copy, from ``checkpoints/`` on."""
    contents: Annotated[tuple[int, int] | None, rules.CONTENTS] = None
    """How many files and bytes the checkpoint has."""


@dataclass(frozen=True)
class Checkpointed(TrialEvent):
    """The trial has a new checkpoint."""

    kind = "checkpoint"

    path: Annotated[str, _STORED_PATH]
    """From ``checkpoints/`` on."""
    iteration: Annotated[int, rules.COUNT]
    best: Annotated[str, _STORED_PATH]
    """The path of the one that is kept for the trial's best value."""
    contents: Annotated[tuple[int, int] | None, rules.CONTENTS] = None
    """How many files and bytes it has."""


@dataclass(frozen=True)
class Lost(TrialEvent):
    """The trial will be started again, since its worker died, or after an error."""

    kind = "lost"

    error: Annotated[str, rules.TEXT]
    lanes: Annotated[int | None, rules.COUNT] = None
    """Its worker lives; the worker's device has memory for so many trials only."""
    died: Annotated[bool, rules.FLAG] = True
    """Whether its worker died, where ``lanes`` is not given."""


@dataclass(frozen=True)
class Leaked(Event):
    """A worker is replaced, since its trials have left memory behind (see ``tuner.worker.memory.Leak``)."""

    kind = "leaked"

    memory: Annotated[str, rules.TEXT]
    """``machine`` or ``gpu``."""
    before: Annotated[float, rules.AMOUNT]
    """In bytes, like ``after`` and ``share``."""
    after: Annotated[float, rules.AMOUNT]
    share: Annotated[float, rules.AMOUNT]
    node: Annotated[str | None, rules.TEXT] = None


@dataclass(frozen=True)
class Ended(TrialEvent):
    """The trial has left for good."""

    kind = "ended"

    state: Annotated[Ending, rules.one_of("completed", "stopped", "failed")]
    error: Annotated[str | None, rules.TEXT] = None
    """A traceback, of a failed one."""


@dataclass(frozen=True)
class Resumed(Event):
    """A sweep that broke off is continued."""

    kind = "resumed"

    version: Annotated[Any, rules.ANYTHING] = None
    began: Annotated[float | None, rules.AMOUNT] = None
    """When that was asked for, in seconds since 1970."""
    changed: Annotated[Any, rules.ANYTHING] = None
    """Files of the trainable that have changed since the start."""


@dataclass(frozen=True)
class Spent(Event):
    """What trials have used of the GPUs so far, where the budget limits it."""

    kind = "spent"

    gpu_seconds: Annotated[float, rules.AMOUNT]


@dataclass(frozen=True)
class Finished(Event):
    """No trial runs any more."""

    kind = "finished"

    reason: Annotated[str, rules.TEXT]
    """``trials``, ``failures``, ``interrupted``, or the budget that is used up."""


@dataclass(frozen=True)
class Closed(Event):
    """The cluster has been left."""

    kind = "closed"


@dataclass(frozen=True)
class Unknown(Event):
    """An event of a kind that this version does not know."""

    kind = "unknown"

    @classmethod
    def from_json(cls, data: dict[str, Any], *, time: float = 0.0, trial: int | None = None) -> Self:
        return cls(time=time)


EVENTS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        SweepBegan,
        Suggested,
        Started,
        Result,
        Decision,
        Reconfigured,
        Checkpointed,
        Lost,
        Leaked,
        Ended,
        Resumed,
        Spent,
        Finished,
        Closed,
    )
}
"""Kind, as in the journal -> class."""
