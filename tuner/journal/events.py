"""The kinds of journal events: one frozen dataclass each, with conversion to and from JSON.

A journal may be damaged or come from an untrusted source. ``Reader`` checks each row once, so users of an
event can trust its types. An optional field is omitted from the JSON if it has its default value.
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
    """Return a checkpoint's path from ``checkpoints/`` onwards, which is valid after the folder moves.

    A path without ``checkpoints`` is returned unchanged.
    """
    parts = path.split("/")
    if _CHECKPOINTS not in parts:
        return path
    last = len(parts) - 1 - parts[::-1].index(_CHECKPOINTS)
    return "/".join(parts[last:])


def is_checkpoint_name(name: str) -> bool:
    """Return whether a name is a path below ``checkpoints/`` and thus inside the results folder."""
    first, *rest = name.split("/")
    return first == _CHECKPOINTS and bool(rest) and all(re.fullmatch(r"\w[\w.-]*", part) for part in rest)


_STORED_PATH = rules.TEXT._replace(read=checkpoint_name)


class _Field(NamedTuple):
    """A field of an event that is stored in its JSON."""

    name: str
    rule: Rule
    default: Any
    """``MISSING`` if the field is required."""


@cache
def _fields(cls: Any) -> tuple[_Field, ...]:
    """Return the fields of a kind of event that are stored in its JSON."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        _Field(each.name, hints[each.name].__metadata__[0], each.default)
        for each in dataclasses.fields(cls)
        if each.name not in ("time", "trial")
    )


@dataclass(frozen=True)
class Event:
    """One entry of a journal."""

    kind: ClassVar[str]

    time: float = field(default=0.0, kw_only=True, compare=False)
    """When the event was written, in seconds since 1970; 0 before that. Comparisons ignore it."""

    def to_json(self) -> dict[str, Any]:
        """Return the data of the event's row."""
        values = ((one, getattr(self, one.name)) for one in _fields(cast(Any, type(self))))
        return {one.name: value for one, value in values if one.default is MISSING or value != one.default}

    @classmethod
    def from_json(cls, data: dict[str, Any], *, time: float = 0.0, trial: int | None = None) -> Self:
        """Return the event of a row. Raises ValueError if the data do not fit this kind of event."""
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
    """An event of one trial."""

    trial: int
    """The trial's number, from 0."""


@dataclass(frozen=True)
class SweepBegan(Event):
    """The first event of every journal."""

    kind = "sweep"

    sweep: Annotated[dict[str, Any], rules.OBJECT]
    """The resolved sweep, without ``out``."""
    version: Annotated[Any, rules.ANYTHING] = None
    """The version of tuner that began the sweep."""
    id: Annotated[str | None, rules.TEXT] = None
    """A unique identifier of the sweep."""
    began: Annotated[float | None, rules.AMOUNT] = None
    """When the user requested the sweep, in seconds since 1970."""
    sources: Annotated[Any, rules.ANYTHING] = None
    """Fingerprints of the journals and files that the searcher learns from, by setting."""
    folder: Annotated[Any, rules.ANYTHING] = None
    """The working directory of the start. Relative paths refer to it."""
    signature: Annotated[str | None, rules.TEXT] = None
    """The signature of the user that began the sweep (see ``tuner.trust``)."""
    code: Annotated[Any, rules.ANYTHING] = None
    """Hashes of the trainable's files."""
    importable: Annotated[Any, rules.ANYTHING] = None
    """Whether the trainable can be found by its name alone."""
    verbs: Annotated[Any, rules.ANYTHING] = None
    """Those of ``evaluate`` and ``export`` that the trainable supports."""

    @property
    def settings(self) -> dict[str, Any]:
        """The sweep with settings that have since been renamed under their current names."""
        settings = self.sweep
        for part, before, now, _ in RENAMED:
            if isinstance(old := settings.get(part), dict) and before in old:
                renamed = {now if key == before else key: value for key, value in old.items()}
                settings = {**settings, part: renamed}
        return settings


@dataclass(frozen=True)
class Suggested(TrialEvent):
    """The searcher created the trial."""

    kind = "suggested"

    config: Annotated[dict[str, Any], rules.OBJECT]
    """The hyperparameters."""
    seed: Annotated[int, rules.COUNT]
    """The seed of the trial."""


@dataclass(frozen=True)
class Asked(TrialEvent):
    """The running trial named a hyperparameter, and the searcher chose its value."""

    kind = "asked"

    name: Annotated[str, rules.TEXT]
    """The name of the hyperparameter."""
    dimension: Annotated[dict[str, Any], rules.OBJECT]
    """Its dimension, as a sweep file writes it."""
    value: Annotated[Any, rules.ANYTHING] = None
    """Its value in this trial."""
    error: Annotated[str | None, rules.TEXT] = None
    """Why there is no value."""


@dataclass(frozen=True)
class Started(TrialEvent):
    """The trial started or restarted, possibly from a checkpoint."""

    kind = "started"

    node: Annotated[str, rules.TEXT] = ""
    """The address of the machine that runs it."""
    worker: Annotated[int | None, rules.COUNT] = None
    """The number of its worker process, which is unique within one run of the sweep."""
    ranks: Annotated[tuple[dict[str, Any], ...], rules.RANKS] = ()
    """The machine (``node``) and the GPUs (``gpus``) of each rank, if the sweep sets ``processes``."""


@dataclass(frozen=True)
class Result(TrialEvent):
    """The trial reported a result."""

    kind = "result"

    iteration: Annotated[int, rules.COUNT]
    """The number of the iteration, from 1."""
    value: Annotated[float | None, rules.MAYBE_NUMBER]
    """The value of the first objective."""
    seconds: Annotated[float, rules.AMOUNT]
    """The training time so far."""
    metrics: Annotated[dict[str, Any], rules.OBJECT]
    """The metrics that the trial reported."""
    values: Annotated[tuple[float, ...], rules.NUMBERS] = ()
    """The values of all objectives, if there are several."""
    done: Annotated[bool, rules.FLAG] = False
    """Whether the trainable finished with this result. No scheduler decides on it then."""


class Action(StrEnum):
    """A scheduler's choices for a trial."""

    CONTINUE = "continue"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    COMPLETE = "complete"


_ACTION = rules.one_of(*Action)._replace(read=Action)


@dataclass(frozen=True)
class Decision(TrialEvent):
    """A scheduler's decision about a trial, with the comparison behind it."""

    kind = "decision"

    action: Annotated[Action, _ACTION]
    """``continue``, ``pause``, ``resume``, ``stop`` or ``complete``."""
    resource: Annotated[float, rules.NUMBER]
    """The resource that the trial had used: iterations, unless the sweep sets ``resource``."""
    value: Annotated[float | None, rules.NUMBER] = None
    """The value that the scheduler compared."""
    cutoff: Annotated[float | None, rules.NUMBER] = None
    """The worst value that may continue, if the decision used a cut-off."""
    rank: Annotated[int | None, rules.COUNT] = None
    """The trial's rank among ``of`` trials; 1 is the best."""
    of: Annotated[int | None, rules.COUNT] = None
    """The number of trials that were compared."""
    rung: Annotated[int | None, rules.NUMBER] = None
    """The resource at which the trials were compared."""
    bracket: Annotated[int | None, rules.COUNT] = None
    """The number of the scheduler's bracket, from 0."""
    reason: Annotated[str | None, rules.TEXT] = None
    """Another cause, in a few words."""
    source: Annotated[int | None, rules.COUNT] = None
    """The trial whose last checkpoint this trial resumes from; it may be the trial itself.
    ``SchedulerSpec.reconfigured`` derives the new configuration from the source's."""

    @property
    def is_notable(self) -> bool:
        """Whether the journal records the decision: it changes the trial, or it compared trials."""
        return self.action is not Action.CONTINUE or self.rank is not None


@dataclass(frozen=True)
class Reconfigured(TrialEvent):
    """The trial continues with another configuration from a source's checkpoint."""

    kind = "reconfigured"

    source: Annotated[int, rules.COUNT]
    """The trial whose checkpoint is used; it may be the trial itself."""
    iteration: Annotated[int, rules.COUNT]
    """The checkpoint's iteration."""
    config: Annotated[dict[str, Any], rules.OBJECT]
    """The trial's new hyperparameters."""
    checkpoint: Annotated[str, _STORED_PATH] = ""
    """The path of the trial's own copy, from ``checkpoints/`` onwards."""
    contents: Annotated[tuple[int, int] | None, rules.CONTENTS] = None
    """The number of files and of bytes in the checkpoint."""


@dataclass(frozen=True)
class Checkpointed(TrialEvent):
    """The trial has a new checkpoint."""

    kind = "checkpoint"

    path: Annotated[str, _STORED_PATH]
    """Its path from ``checkpoints/`` onwards."""
    iteration: Annotated[int, rules.COUNT]
    """The iteration after which it was taken."""
    best: Annotated[str, _STORED_PATH]
    """The path of the checkpoint that is kept for the trial's best value."""
    contents: Annotated[tuple[int, int] | None, rules.CONTENTS] = None
    """The number of files and of bytes in the checkpoint."""


@dataclass(frozen=True)
class Lost(TrialEvent):
    """The trial lost its worker or met an error, and will be restarted."""

    kind = "lost"

    error: Annotated[str, rules.TEXT]
    """The reason for the restart."""
    lanes: Annotated[int | None, rules.COUNT] = None
    """The number of trials that fit into the memory of the device. If given, the worker is still alive."""
    died: Annotated[bool, rules.FLAG] = True
    """Whether the worker died. Meaningless if ``lanes`` is given."""


@dataclass(frozen=True)
class Leaked(Event):
    """A worker is replaced because its trials leaked memory (see ``tuner.worker.memory.MemoryLeak``)."""

    kind = "leaked"

    memory: Annotated[str, rules.TEXT]
    """``machine`` or ``gpu``."""
    before: Annotated[float, rules.AMOUNT]
    """The bytes that the worker held between its first trials."""
    after: Annotated[float, rules.AMOUNT]
    """The bytes that it holds now, without a trial."""
    share: Annotated[float, rules.AMOUNT]
    """The bytes that it may use."""
    node: Annotated[str | None, rules.TEXT] = None
    """The address of its machine."""


@dataclass(frozen=True)
class Ended(TrialEvent):
    """The trial ended and will not run again."""

    kind = "ended"

    state: Annotated[Ending, rules.one_of("completed", "stopped", "failed")]
    """``completed``, ``stopped`` or ``failed``."""
    error: Annotated[str | None, rules.TEXT] = None
    """The traceback of a failed trial."""


@dataclass(frozen=True)
class Resumed(Event):
    """The user resumed the sweep."""

    kind = "resumed"

    version: Annotated[Any, rules.ANYTHING] = None
    """The version of tuner that resumed the sweep."""
    began: Annotated[float | None, rules.AMOUNT] = None
    """When the user requested it, in seconds since 1970."""
    changed: Annotated[Any, rules.ANYTHING] = None
    """Files of the trainable that have changed since the sweep began."""


@dataclass(frozen=True)
class Spent(Event):
    """The GPU time of all trials so far. Written only if the budget limits it."""

    kind = "spent"

    gpu_seconds: Annotated[float, rules.AMOUNT]
    """The number of GPUs that trials held, integrated over time in seconds."""


@dataclass(frozen=True)
class Finished(Event):
    """The sweep ended; no trial is running."""

    kind = "finished"

    reason: Annotated[str, rules.TEXT]
    """``trials``, ``failures``, ``interrupted``, or the name of the exhausted budget."""


@dataclass(frozen=True)
class Closed(Event):
    """The driver disconnected from the cluster."""

    kind = "closed"


@dataclass(frozen=True)
class Unknown(Event):
    """An event whose kind this version does not know."""

    kind = "unknown"

    @classmethod
    def from_json(cls, data: dict[str, Any], *, time: float = 0.0, trial: int | None = None) -> Self:
        return cls(time=time)


EVENTS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        *(SweepBegan, Suggested, Asked, Started, Result, Decision, Reconfigured, Checkpointed),
        *(Lost, Leaked, Ended, Resumed, Spent, Finished, Closed),
    )
}
"""Maps each kind, as written in the journal, to its class."""
