"""``recover``: a host as it was when its sweep broke off, made again from the journal.

The searcher and the scheduler are asked and told again what they were, in the same order, and answer the
same. Where they do not, the journal is not theirs: another version wrote it, or someone changed it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tuner.engine.checkpoints import Checkpoint
from tuner.engine.guard import RESOURCE
from tuner.engine.host import Host
from tuner.errors import ResultsError, TunerError
from tuner.journal import Event
from tuner.objective import ITERATIONS, SECONDS
from tuner.schedulers import Action, Decision
from tuner.space import same


@dataclass
class Leftovers:
    """What was decided and not done when the sweep broke off, and the checkpoints to go on from.

    ``resumed``: trials that were to be reconfigured and resumed; ``dropped``: paused ones that were to end;
    ``checkpoints``: trial -> the last ones that it had, the newest last; ``gpu_seconds``: used before.
    """

    resumed: list[Decision] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    checkpoints: dict[int, list[Checkpoint]] = field(default_factory=dict)
    gpu_seconds: float = 0.0


def recover(host: Host, events: Iterable[Event]) -> Leftovers:
    """Bring a new host to where the events end. Raises ResultsError when they are not those of its sweep."""
    replay = _Replay(host, list(events))
    with host.muted():
        replay.run()
    return replay.left


class _Replay:
    def __init__(self, host: Host, events: list[Event]) -> None:
        self.left = Leftovers()
        self._host = host
        self._events = events
        self._results: dict[int, dict[str, Any]] = {}  # trial -> its last result
        self._following = _next_of_its_trial(events)

    def run(self) -> None:
        for position, event in enumerate(self._events):
            if event.kind == "spent":
                self.left.gpu_seconds = event.data["gpu_seconds"]
            if event.trial is None:
                continue
            try:
                self._repeat(event, event.trial, then=self._following[position])
            # A journal that was tampered with; one that we wrote names only what there is.
            except (LookupError, StopIteration, AssertionError, TypeError, ValueError) as error:
                if isinstance(error, TunerError):
                    raise
                where = f"event {position + 1} ('{event.kind}' of trial {event.trial:05d})"
                raise ResultsError(f"cannot resume: the journal contradicts itself at {where}") from error

    def _repeat(self, event: Event, number: int, *, then: Event | None) -> None:
        match event.kind:
            case "suggested":
                self._suggested(number, event.data)
            case "started":
                self._host.started(number, node="")
            case "result":
                self._result(number, event.data, then=then)
            case "decision":
                self._decision(number, event.data)
            case "reconfigured":
                self._reconfigured(number, event.data)
            case "checkpoint":
                self._checkpoint(number, event.data)
            case "lost":
                about = {"lanes": event.data.get("lanes"), "died": event.data.get("died", True)}
                self._host.lost(number, "", **about)
            case "ended":
                self._host.end(number, event.data["state"], event.data.get("error"))
                if number in self.left.dropped:
                    self.left.dropped.remove(number)

    def _suggested(self, number: int, data: dict[str, Any]) -> None:
        course = self._host.suggest()
        if (
            course is None
            or (course.number, course.seed) != (number, data["seed"])
            or not same(course.config, data["config"])
        ):
            suggested = "no more trials" if course is None else f"{course.config}"
            raise _foreign(number, f"ran {data['config']}, and the searcher suggests {suggested}")

    def _result(self, number: int, data: dict[str, Any], *, then: Event | None) -> None:
        sweep = self._host.sweep
        resource = sweep.scheduler.resource
        known = {ITERATIONS: data["iteration"], SECONDS: data["seconds"]}
        values = data.get("values") or [data["value"]]
        # A trial that is done ends without being decided on.
        done = then is not None and then.kind == "ended" and then.data["state"] == "completed"
        result = {
            "training_iteration": data["iteration"],
            "time_total_s": data["seconds"],
            RESOURCE: known.get(resource, data["metrics"].get(resource)),
            **dict(zip(sweep.objective.metrics, values, strict=True)),
            "metrics": data["metrics"],
            "done": done,
        }
        self._results[number] = result
        self._host.result(number, result)
        if not done:
            self._host.decide(number)

    def _checkpoint(self, number: int, data: dict[str, Any]) -> None:
        kept = [each for each in self.left.checkpoints.get(number, []) if each.path == data["best"]]
        newest = Checkpoint(data["path"], self._results[number], data.get("contents"))
        self.left.checkpoints[number] = [*kept, newest]

    def _decision(self, number: int, data: dict[str, Any]) -> None:
        course = self._host.courses[number]
        action = Action(data["action"])
        if action is Action.RESUME:
            decision = self._host.resume()
            if decision is None or decision.trial != number:
                raise _foreign(number, f"was resumed, and the scheduler resumes {decision}")
            if decision.source is not None:
                self.left.resumed.append(decision)
        elif action is Action.STOP and course.state == "paused":
            if number not in self.left.dropped:
                self.left.dropped += self._host.drop()
            if number not in self.left.dropped:
                raise _foreign(number, "was dropped, and the scheduler keeps it")
        elif action is Action.PAUSE and course.state != "paused":
            raise _foreign(number, "was paused, and the scheduler lets it run")

    def _reconfigured(self, number: int, data: dict[str, Any]) -> None:
        decision = next(decision for decision in self.left.resumed if decision.trial == number)
        self.left.resumed.remove(decision)
        self._host.reconfigure(decision)
        if not same(self._host.courses[number].config, data["config"]):
            raise _foreign(number, f"went on with {data['config']}, and the scheduler makes something else")
        if data["source"] == number:  # it goes on from its own, which is known
            return
        # Without a value, as when it was copied: it is not the trial's own.
        source = self.left.checkpoints[data["source"]][-1]
        valueless = {**source.result, self._host.sweep.objective.metric: math.nan}
        copy = Checkpoint(data["checkpoint"], valueless, data.get("contents"))
        self.left.checkpoints.setdefault(number, []).append(copy)


def _next_of_its_trial(events: list[Event]) -> list[Event | None]:
    """For each event, the next one of the same trial that says what became of it."""
    following: list[Event | None] = []
    after: dict[int | None, Event] = {}
    for event in reversed(events):
        following.append(after.get(event.trial))
        if event.kind in ("result", "decision", "ended", "lost"):
            after[event.trial] = event
    return following[::-1]


def _foreign(number: int, what: str) -> ResultsError:
    return ResultsError(f"the journal cannot be gone on with: trial {number:05d} {what}")
