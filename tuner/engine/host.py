"""``Host``: the one place where a sweep's searcher, scheduler and journal meet Ray Tune's controller.

What happens to a trial comes here first; it is written to the journal, then told to the searcher and the
scheduler, then acted on. What Ray's controller sees of it are the faces in ``faces.py``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engine.guard import RESOURCE
from tuner.engine.memory import Leak
from tuner.engine.storage import Folder, make_durable, remove
from tuner.engine.stretch import Stretch
from tuner.errors import ResultsError
from tuner.events import checkpoint_name
from tuner.journal import Journal
from tuner.objective import ITERATIONS, Ending
from tuner.pareto import front
from tuner.schedulers import Action, Decision
from tuner.searchers import start
from tuner.sweep import Sweep


@dataclass(eq=False)
class Course:
    """What the engine knows of a trial while the sweep runs."""

    number: int
    config: dict[str, Any]  # that it has at present
    seed: int
    state: str = "pending"  # pending, running, paused, or how it ended
    action: Action = Action.CONTINUE  # what was decided on its last result
    ending: Ending | None = None  # decided, and about to happen
    repeats: bool = False  # it started over, or went on from an earlier checkpoint, and is not new yet
    ends_again: bool = False  # it repeats the result on which its end was decided
    iteration: int = 0
    seconds: float = 0.0  # of training, by its last result
    resource: float = 0.0  # what the scheduler measures it by
    last: float | None = None
    last_values: tuple[float, ...] = ()  # of all objectives
    best: float | None = None
    best_iteration: int = 0  # at which it had that
    best_config: dict[str, Any] = field(default_factory=dict)  # that it had at its best
    trial_dir: Folder | None = None  # of its checkpoints, while there are any
    worker_losses: int = 0  # since its last progress
    times_too_many: int = 0  # for the memory of its worker's device


# A trial's results of so long travel together, or of longer where many trials run: an answer costs a
# millisecond on either side. Short enough for what is shown to be live.
_SECONDS_PER_ANSWER = (0.25, 1.0)
_ANSWERS_PER_SECOND = 50

# So many answers at least fit into the time after which a silent trial is ended.
_ANSWERS_PER_SILENCE = 4

ENDED = ("completed", "stopped", "failed")
"""The states in which a trial has left for good."""

_ENDINGS: dict[Action, Ending] = {Action.STOP: "stopped", Action.COMPLETE: "completed"}


def trial_seed(sweep_seed: int, trial: int) -> int:
    """The trial's own seed, below 2**31: a pure function of the sweep's seed and the trial's number."""
    return int(np.random.SeedSequence([sweep_seed, trial]).generate_state(1)[0] >> 1)


class Host:
    """The state of a running sweep; every change goes through here, journal first."""

    def __init__(self, sweep: Sweep, journal: Journal) -> None:
        self.sweep = sweep
        self.trials = sweep.trials  # how many there will be; asked once, since a grid is counted for it
        self.courses: dict[int, Course] = {}
        self.reason: str | None = None
        self.incumbent: Course | None = None  # the best so far that has not failed
        self._journal: Journal | None = journal
        self._searcher = start(sweep.searcher, sweep.space, objective=sweep.objective, seed=sweep.seed)
        self._resource = sweep.scheduler.resource
        self._scheduler = sweep.scheduler.build(
            objective=sweep.objective,
            iterations=sweep.scheduler.most(sweep.budget.iterations),
            seed=sweep.seed,
        )
        self._exhausted = False
        self._failures = 0
        self._iterations = 0  # of all trials
        self.leaks: list[Leak] = []  # for which workers were replaced
        self.lanes_held: list[int] = []  # by workers whose device had no memory for more
        self.notes: list[str] = []  # that are shown once, as they come
        self._granted: dict[int, int] = {}  # running trial -> the iteration up to which it may train
        self._kept: list[Course] = []  # the best of those that have ended; their checkpoints stay
        self._fresh: list[Any] = []  # checkpoints that may not be on the disk itself yet
        self._freed: list[Folder] = []  # that are not needed any more

    @property
    def exhausted(self) -> bool:
        """Whether there will be no new trial."""
        return self._exhausted

    def counts(self) -> Counter[str]:
        """How many trials are in each state."""
        return Counter(course.state for course in self.courses.values())

    def suggest(self) -> Course | None:
        """A new trial; ``None`` when there are no more, and then never again."""
        number = len(self.courses)
        if self._exhausted:
            return None
        config = self._searcher.suggest(number)
        if config is None:
            self.close()
            return None
        course = Course(number, config, trial_seed(self.sweep.seed, number))
        self._write("suggested", number, config=config, seed=course.seed)
        self.courses[number] = course
        self._scheduler.add(number)
        if self.trials is not None and number + 1 >= self.trials:
            self.close()
        return course

    def close(self) -> None:
        """Let no new trial come."""
        if not self._exhausted:
            self._exhausted = True
            self._scheduler.close()

    def started(self, number: int, node: str) -> None:
        """The trial runs (again)."""
        self._write("started", number, node=node)
        course = self.courses[number]
        course.state = "running"

    def result(self, number: int, result: dict[str, Any]) -> bool:
        """Take note of a result; whether a checkpoint is to be taken of it.

        So it is for the best value so far, and at the end of a trial that is the best to have ended. Of
        several objectives the last values count, so only the end does.
        """
        iteration: int = result["training_iteration"]
        values = tuple(result[metric] for metric in self.sweep.objective.metrics)
        value: float = values[0]
        self._write(
            "result",
            number,
            iteration=iteration,
            value=value,
            **({"values": values} if len(values) > 1 else {}),
            seconds=result["time_total_s"],
            metrics=result["metrics"],
        )
        course = self.courses[number]
        course.repeats = iteration <= course.iteration
        if course.repeats:
            # Its end was decided on this very result, and it was lost before that was done.
            course.ends_again = course.ending is not None and iteration == course.iteration
            return course.ends_again and course in self._foremost([*self._kept, course])
        objective = self.sweep.objective
        leads = self._is_ahead(course, value, of=self.incumbent)
        self._iterations += iteration - course.iteration
        if self._iterations >= (self.sweep.budget.total_iterations or sys.maxsize):
            self.give_up("total_iterations")
        course.iteration, course.resource = iteration, result[RESOURCE]
        course.seconds = result["time_total_s"]
        course.worker_losses = 0
        course.last, course.last_values = value, values
        if objective.better(value, than=course.best):
            course.best, course.best_config, course.best_iteration = value, course.config, iteration
        if not objective.others:
            self._searcher.report(number, iteration, value)
        if leads:
            self.incumbent = course
        # The incumbent may still fail; then the best of those that have ended must not be without.
        limit = self.sweep.budget.iterations
        is_last = bool(result.get("done")) or (limit is not None and iteration >= limit)
        if objective.others:
            leads = False
        return leads or (is_last and course in self._foremost([*self._kept, course]))

    def stretch(self, number: int, *, running: int, save_after: float | None = None) -> Stretch | None:
        """How far a trial may train before its results are needed; ``None``: it has to wait.

        ``running``: how many trials do at present. ``save_after``: seconds until it is to be saved.
        """
        until = self._scheduler.decides_at(number) if self._resource == ITERATIONS else None
        if self.sweep.budget.total_iterations is not None:
            until = self._grant(number, until)
            if until is None:
                return None
        return Stretch(
            until=until,
            seconds=self._seconds_per_answer(running),
            better_than=self.incumbent.best if self.incumbent else None,
            or_equal=self.incumbent is not None and number < self.incumbent.number,
            save_after=save_after,
        )

    def _seconds_per_answer(self, running: int) -> float:
        least, most = _SECONDS_PER_ANSWER
        if (silence := self.sweep.budget.silence) is not None:
            most = min(most, silence / _ANSWERS_PER_SILENCE)
        return min(most, max(least, running / _ANSWERS_PER_SECOND))

    def _grant(self, number: int, until: int | None) -> int | None:
        """The iteration up to which a trial may train so that all together stay within the budget."""
        course = self.courses[number]
        self._granted.pop(number, None)
        promised = sum(max(0, upto - self.courses[n].iteration) for n, upto in self._granted.items())
        left = (self.sweep.budget.total_iterations or 0) - self._iterations - promised
        if left <= 0:
            return None
        share = max(1, left // (len(self._granted) + 1))
        self._granted[number] = min(until or course.iteration + 1, course.iteration + share)
        return self._granted[number]

    def decide(self, number: int) -> Action:
        """What the scheduler makes of the trial's last result."""
        course = self.courses[number]
        course.action = Action.CONTINUE
        if course.repeats:
            if course.ends_again:
                course.action = Action.STOP if course.ending == "stopped" else Action.COMPLETE
            return course.action
        several = bool(self.sweep.objective.others)
        value: Any = course.last_values if self.sweep.scheduler.many_objectives and several else course.last
        decision = self._scheduler.report(number, course.resource, value)
        limit = self.sweep.budget.iterations
        if limit is not None and course.iteration >= limit and decision.action is not Action.STOP:
            # The scheduler may not know, where it measures trials by something else.
            decision = replace(decision, action=Action.COMPLETE)
        self._note(decision)
        course.action = decision.action
        if decision.action is not Action.CONTINUE:
            self._granted.pop(number, None)
        if decision.action is Action.PAUSE:
            course.state = "paused"
        elif decision.action in _ENDINGS:
            course.ending = _ENDINGS[decision.action]
        return course.action

    def checkpointed(self, number: int, checkpoint: Any, *, best: str, contents: tuple[int, int]) -> None:
        """Take note of a new checkpoint, and of the one that is kept for the trial's best value.

        ``contents``: how many files and bytes it has.
        """
        course = self.courses[number]
        course.trial_dir = checkpoint.filesystem, os.path.dirname(checkpoint.path)
        about = {"iteration": course.iteration, "best": checkpoint_name(best), "contents": contents}
        self._write("checkpoint", number, path=checkpoint_name(checkpoint.path), **about)
        self._fresh.append(checkpoint)

    def discard(self, folders: Iterable[Folder]) -> None:
        """Let these be deleted once all that was written so far is durable."""
        self._freed += folders

    def tidy(self) -> None:
        """Delete what is not needed any more, now that no crash can make it needed again."""
        if self._journal is None:
            return
        self._journal.fold()
        if not self._freed:
            return
        freed = {path for _, path in self._freed}
        for checkpoint in self._fresh:
            if not {checkpoint.path, os.path.dirname(checkpoint.path)} & freed:
                make_durable(checkpoint)
        self._journal.sync()
        for system, path in self._freed:
            remove(system, path)
        self._fresh, self._freed = [], []

    def lost(self, number: int, error: str, *, lanes: int | None = None, died: bool = True) -> None:
        """Take note that a trial will be started again after an error.

        ``lanes``: its worker continues without it, since its device has memory for so many trials only.
        ``died``: otherwise, whether its worker did.
        """
        more: dict[str, Any] = {} if died else {"died": False}
        self._write("lost", number, error=error, **({"lanes": lanes} if lanes is not None else more))
        course = self.courses[number]
        if lanes is None:
            course.worker_losses += died
        else:
            course.times_too_many += 1
            self.lanes_held.append(lanes)
        if course.state == "running":
            course.state = "pending"

    def leaked(self, leak: Leak, node: str) -> None:
        """A worker is replaced, since its trials have left memory behind."""
        self._write("leaked", node=node, **asdict(leak))
        self.leaks.append(leak)

    def end(self, number: int, ending: Ending, error: str | None = None) -> None:
        """The trial has left for good."""
        course = self.courses[number]
        if course.state in ENDED:
            return
        self._write("ended", number, state=ending, error=error)
        course.state = ending
        self._granted.pop(number, None)
        self._scheduler.end(number, ending)
        if self.sweep.objective.others:
            known = ending != "failed" and course.last_values
            self._searcher.finish_all(number, ending, course.last_values if known else None)
        else:
            self._searcher.finish(number, ending, None if ending == "failed" else course.last)
        if ending == "failed":
            self._fail(course)
        self._prune(course)

    def time_is_up(self, number: int) -> None:
        """Take note that a running trial is stopped for the time it has had."""
        course = self.courses[number]
        reason = "its time (budget.trial_seconds) is up"
        self._note(Decision(number, Action.STOP, course.resource, course.last, reason=reason))

    def give_up(self, reason: str) -> None:
        """End the sweep early: no new trial, and the running ones are to be stopped."""
        if self.reason is None:
            self.reason = reason
            self.close()

    def save(self, folder: Path) -> None:
        """Let the searcher write what it has learned into the results folder, for who wants to look at it."""
        try:
            self._searcher.save(folder)
        except OSError as error:
            raise ResultsError(f"{folder}: cannot be written: {error}") from error

    def finish(self) -> None:
        """Write the last entry: no trial runs any more."""
        self.reason = self.reason or "trials"
        self._write("finished", reason=self.reason)

    def resume(self) -> Decision | None:
        """A paused trial that is to take a free slot."""
        decision = self._scheduler.resume()
        if decision is None:
            return None
        self._note(decision)
        self.courses[decision.trial].state = "pending"
        return decision

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """A context in which nothing is written or deleted, since all that happens has happened before."""
        journal, self._journal = self._journal, None
        try:
            yield
        finally:
            self._journal = journal

    def _write(self, kind: str, trial: int | None = None, /, **data: Any) -> None:
        if self._journal is not None:
            self._journal.write(kind, trial, **data)

    def spent(self, gpu_seconds: float) -> None:
        """Take note of what trials have used of the GPUs."""
        self._write("spent", gpu_seconds=gpu_seconds)

    def keeps(self, number: int) -> bool:
        """Whether a trial's checkpoints are to stay: it has not ended, or is among the best that have."""
        course = self.courses[number]
        return course.state not in ENDED or course in self._kept

    def reconfigure(
        self,
        decision: Decision,
        *,
        trial_dir: Folder | None = None,
        checkpoint: str = "",
        contents: tuple[int, int] | None = None,
    ) -> None:
        """A trial is about to resume from its source's last checkpoint, with what is made of its config.

        ``checkpoint``: the trial's own copy, in its folder ``trial_dir``, of so many files and bytes.
        """
        assert decision.source is not None
        course, source = self.courses[decision.trial], self.courses[decision.source]
        rng = np.random.default_rng([self.sweep.seed, decision.trial, int(decision.resource)])
        scheduler, space = self.sweep.scheduler, self.sweep.space
        course.config = scheduler.reconfigured(source.config, decision, space=space, rng=rng)
        self._write(
            "reconfigured",
            decision.trial,
            source=decision.source,
            iteration=source.iteration,
            config=course.config,
            checkpoint=checkpoint_name(checkpoint),
            contents=contents,
        )
        course.iteration, course.resource, course.last = source.iteration, source.resource, source.last
        course.trial_dir = trial_dir or course.trial_dir

    def drop(self) -> list[int]:
        """The paused trials that can never go on; each comes once."""
        decisions = self._scheduler.drop()
        for decision in decisions:
            self._note(decision)
        return [decision.trial for decision in decisions]

    def _note(self, decision: Decision) -> None:
        if decision.action is not Action.CONTINUE or decision.rank is not None:
            self._write("decision", decision.trial, **decision.to_dict())

    def _fail(self, course: Course) -> None:
        self._failures += 1
        limit = self.sweep.budget.failures
        if limit is not None and self._failures > limit:
            self.give_up("failures")
        if course is self.incumbent:
            self.incumbent = None
            for other in self.courses.values():
                self.incumbent = self._better(other, self.incumbent)

    def _prune(self, course: Course) -> None:
        """Keep the checkpoints of the best that have ended, delete those of the others."""
        ended = [*self._kept, course]
        self._kept = self._foremost(ended)
        for loser in ended:
            if loser.trial_dir is not None and loser not in self._kept:
                self.discard([loser.trial_dir])
                loser.trial_dir = None

    def _foremost(self, courses: list[Course]) -> list[Course]:
        """The best of these; of several objectives, those that no other dominates."""
        objective = self.sweep.objective
        if objective.others:
            sound = [course for course in courses if course.last_values and course.state != "failed"]
            return [sound[i] for i in front([objective.scores(course.last_values) for course in sound])]
        best: Course | None = None
        for course in courses:
            best = self._better(course, best)
        return [] if best is None else [best]

    def _better(self, course: Course, than: Course | None) -> Course | None:
        """``course`` if it has not failed and is ahead, else ``than``."""
        if course.best is None or course.state == "failed":
            return than
        return course if self._is_ahead(course, course.best, of=than) else than

    def _is_ahead(self, course: Course, value: float, *, of: Course | None) -> bool:
        """Whether a trial with this value is better than the best of another; of equals, the first is."""
        if of is None or self.sweep.objective.better(value, than=of.best):
            return True
        return value == of.best and course.number < of.number
