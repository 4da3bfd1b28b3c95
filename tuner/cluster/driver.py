"""``SweepDriver``: drives a sweep's state on a cluster, journal first.

What happens is written to the journal, then told to the state; what the state decides is written, then acted
on. Checkpoints are deleted here, once no crash can make them needed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuner.cluster.log import log
from tuner.errors import ResultsError
from tuner.journal import Journal
from tuner.journal.events import (
    Checkpointed,
    Decision,
    Ended,
    Finished,
    Leaked,
    Lost,
    Reconfigured,
    Result,
    Spent,
    Started,
    Suggested,
    TrialEvent,
    checkpoint_name,
)
from tuner.live import Recent, WorkerCounts
from tuner.objective import Ending
from tuner.state import Instruction, Release, SweepState
from tuner.storage.checkpoints import Folder, make_durable, remove
from tuner.worker.memory import MemoryLeak
from tuner.worker.tasks import TrainRequest

# A trial's results of so long travel together, or of longer where many trials run: an answer costs a
# millisecond on either side. Short enough for what is shown to be live.
_SECONDS_PER_ANSWER = (0.25, 1.0)
_ANSWERS_PER_SECOND = 50

# So many answers at least fit into the time after which a silent trial is ended.
_ANSWERS_PER_SILENCE = 4


class SweepDriver:
    """The state of a sweep that runs on a cluster, its journal, and the checkpoints of its trials."""

    def __init__(self, state: SweepState, journal: Journal) -> None:
        self.state = state
        self.sweep = state.sweep
        self.leaks: list[MemoryLeak] = []  # for which workers were replaced
        self.lanes_held: list[int] = []  # by workers whose device had no memory for more
        self.notes: list[str] = []  # that are shown once, as they come
        self.recent = Recent(self.sweep)
        self.count_workers: Callable[[], WorkerCounts] | None = None
        self.seconds_before = 0.0  # of the sweep's time that earlier runs of it have used
        self.trial_dirs: dict[int, Folder] = {}  # of the trials that have checkpoints
        self._journal = journal
        self._fresh: list[Any] = []  # checkpoints that may not be on the disk itself yet
        self._freed: list[Folder] = []  # that are not needed any more

    def suggest(self) -> Suggested | None:
        """Return a new trial; ``None`` when there are no more, and then never again."""
        suggested = self.state.suggest()
        if suggested is not None:
            self._journal.write(suggested)
        return suggested

    def resume(self) -> Decision | None:
        """Return a paused trial that is to take a free worker."""
        decision = self.state.resume()
        if decision is not None:
            self._record(decision)
        return decision

    def drop(self) -> list[int]:
        """Return the paused trials that can never continue. Each comes once."""
        decisions = self.state.drop()
        for decision in decisions:
            self._record(decision)
        return [decision.trial for decision in decisions]

    def started(self, trial: int, node: str) -> None:
        """The trial runs (again)."""
        self._apply(Started(trial, node))
        log.info("trial %05d runs on %s", trial, node)

    def result(self, trial: int, result: dict[str, Any]) -> list[Instruction]:
        """Take in what a trial's process reports; what follows from it is recorded already."""
        values = tuple(result[metric] for metric in self.sweep.objective.metrics)
        instructions = self._apply(
            Result(
                trial,
                iteration=result["training_iteration"],
                value=values[0],
                seconds=result["time_total_s"],
                metrics=result["metrics"],
                values=values if len(values) > 1 else (),
                done=bool(result.get("done")),
            )
        )
        for instruction in instructions:
            if isinstance(instruction, Decision):
                self._record(instruction)
        return instructions

    def train_for(self, trial: int, *, running: int, save_after: float | None = None) -> TrainRequest | None:
        """Return how far a trial may train before its results are needed; ``None``: it has to wait.

        ``running``: how many trials do at present. ``save_after``: seconds until it is to be saved.
        """
        grant, incumbent = self.state.grant(trial), self.state.incumbent
        if grant is None:
            return None
        return TrainRequest(
            until=grant.until,
            seconds=self._seconds_per_answer(running),
            better_than=incumbent.best if incumbent else None,
            or_equal=incumbent is not None and trial < incumbent.number,
            save_after=save_after,
        )

    def _seconds_per_answer(self, running: int) -> float:
        least, most = _SECONDS_PER_ANSWER
        if (silence := self.sweep.budget.silence) is not None:
            most = min(most, silence / _ANSWERS_PER_SILENCE)
        return min(most, max(least, running / _ANSWERS_PER_SECOND))

    def checkpointed(self, trial: int, checkpoint: Any, *, best: str, contents: tuple[int, int]) -> None:
        """Take note of a new checkpoint, and of the one that is kept for the trial's best value.

        ``contents``: how many files and bytes it has.
        """
        self.trial_dirs[trial] = checkpoint.filesystem, os.path.dirname(checkpoint.path)
        path, iteration = checkpoint_name(checkpoint.path), self.state.trials[trial].iteration
        self._apply(Checkpointed(trial, path, iteration, checkpoint_name(best), contents))
        self._fresh.append(checkpoint)

    def reconfigure(
        self, decision: Decision, *, trial_dir: Folder, checkpoint: str, contents: tuple[int, int]
    ) -> None:
        """A trial is about to resume from its source's last checkpoint, with what is made of its config.

        ``checkpoint``: the trial's own copy, in its folder ``trial_dir``, of so many files and bytes.
        """
        assert decision.source is not None
        source = self.state.trials[decision.source]
        config = self.state.reconfigured(decision)
        name = checkpoint_name(checkpoint)
        self._apply(Reconfigured(decision.trial, decision.source, source.iteration, config, name, contents))
        self.trial_dirs[decision.trial] = trial_dir
        what = "trial %05d continues from the checkpoint of %05d after iteration %d with %s"
        log.info(what, decision.trial, decision.source, source.iteration, config)

    def lost(self, trial: int, error: str, *, lanes: int | None = None, died: bool = True) -> None:
        """Take note that a trial will be started again after an error.

        ``lanes``: its worker continues without it, since its device has memory for so many trials only.
        ``died``: otherwise, whether its worker did.
        """
        self._apply(Lost(trial, error, lanes, died))
        log.warning("trial %05d is started again: %s", trial, _last_line(error))
        if lanes is not None:
            self.lanes_held.append(lanes)

    def leaked(self, leak: MemoryLeak, node: str) -> None:
        """A worker is replaced, since its trials have left memory behind."""
        self._journal.write(Leaked(**asdict(leak), node=node))
        what = "a worker on %s is replaced: its trials left %s memory behind, %d bytes before and %d now"
        log.warning(what, node, leak.memory, leak.before, leak.after)
        self.leaks.append(leak)

    def time_is_up(self, trial: int) -> None:
        """Take note that a running trial is stopped for the time it has had."""
        self._record(self.state.time_is_up(trial))

    def end(self, trial: int, ending: Ending, error: str | None = None) -> None:
        """The trial has left for good; once is enough, again does no harm."""
        if self.state.trials[trial].has_ended:
            return
        if error is not None:
            log.warning("trial %05d failed: %s", trial, _last_line(error))
        else:
            log.info("trial %05d %s", trial, ending)
        for instruction in self._apply(Ended(trial, ending, error)):
            if isinstance(instruction, Release) and instruction.trial in self.trial_dirs:
                self.discard([self.trial_dirs.pop(instruction.trial)])

    def spent(self, gpu_seconds: float) -> None:
        """Take note of what trials have used of the GPUs."""
        self._journal.write(Spent(gpu_seconds))

    def discard(self, folders: Iterable[Folder]) -> None:
        """Let these be deleted once all that was written so far is durable."""
        self._freed += folders

    def tidy(self) -> None:
        """Delete what is not needed any more, now that no crash can make it needed again."""
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

    def save(self, folder: Path) -> None:
        """Let the searcher write what it has learned into the results folder, for who wants to look at it."""
        try:
            self.state.searcher.save(folder)
        except OSError as error:
            raise ResultsError(f"{folder}: cannot be written: {error}") from error

    def finish(self) -> None:
        """Write the last entry: no trial runs any more."""
        self._journal.write(Finished(self.state.reason or "trials"))
        log.info("the sweep has ended: %s", self.state.reason or "every trial was run")

    def _apply(self, event: TrialEvent) -> list[Instruction]:
        self._journal.write(event)
        self.recent.add(event)
        return self.state.apply(event)

    def _record(self, decision: Decision) -> None:
        if decision.is_notable:
            self._journal.write(decision)
            self.recent.add(decision)


def _last_line(error: str) -> str:
    """The line of a traceback that names the error."""
    return (error.strip().splitlines() or [""])[-1]
