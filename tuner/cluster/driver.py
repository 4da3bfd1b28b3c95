"""``SweepDriver``: drives a sweep's state on a cluster, journal first.

An event is written to the journal before the state applies it. A decision is written before it is carried
out. The driver deletes a checkpoint only if no crash can make it needed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuner.cluster.log import log
from tuner.errors import ResultsError
from tuner.journal import Journal
from tuner.journal.events import (
    Asked,
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
from tuner.worker.tasks import Answer, TrainRequest

# A worker sends a trial's results together after this time, since each answer costs a millisecond on both
# sides. The time grows with the number of running trials, but the display must stay live.
_SECONDS_PER_ANSWER = (0.25, 1.0)
_ANSWERS_PER_SECOND = 50

_ANSWERS_PER_SILENCE = 4
"""At least this many answers must fit into ``budget.silence``."""


class SweepDriver:
    """The state of a sweep that runs on a cluster, its journal, and the checkpoints of its trials."""

    def __init__(self, state: SweepState, journal: Journal) -> None:
        self.state = state
        self.sweep = state.sweep
        self.leaks: list[MemoryLeak] = []  # leaks for which a worker was replaced
        self.lanes_held: list[int] = []  # trials that fit on a device when its memory was full
        self.notes: list[str] = []  # messages for the user, each shown once
        self.recent = Recent(self.sweep)
        self.count_workers: Callable[[], WorkerCounts] | None = None
        self.seconds_before = 0.0  # the sweep's time in earlier runs
        self.trial_dirs: dict[int, Folder] = {}  # folders of trials with checkpoints
        self._journal = journal
        self._fresh: list[Any] = []  # checkpoints that may not be durable yet
        self._freed: list[Folder] = []  # checkpoints that are no longer needed

    def suggest(self) -> Suggested | None:
        """Return a new trial. After the first ``None``, there are no more trials."""
        suggested = self.state.suggest()
        if suggested is not None:
            self._journal.write(suggested)
        return suggested

    def ask(self, trial: int, name: str, dimension: dict[str, Any]) -> Asked:
        """Return the value of a hyperparameter that a running trial names, or why there is none."""
        is_new = self.state.sweep.space.is_open and name not in self.state.trials[trial].config
        asked = self.state.ask(trial, name, dimension)
        if is_new:
            self._journal.write(asked)
        return asked

    def resume(self) -> Decision | None:
        """Return the paused trial that takes a free worker; ``None`` if none is ready."""
        decision = self.state.resume()
        if decision is not None:
            self._record(decision)
        return decision

    def drop(self) -> list[int]:
        """Return the paused trials that can never continue. Each is returned once."""
        decisions = self.state.drop()
        for decision in decisions:
            self._record(decision)
        return [decision.trial for decision in decisions]

    def started(
        self,
        trial: int,
        node: str,
        *,
        worker: int | None = None,
        ranks: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Record that a trial started or restarted, in this worker on this node."""
        self._apply(Started(trial, node, worker, tuple(ranks)))
        log.info("trial %05d runs on %s", trial, ", ".join(rank["node"] for rank in ranks) or node)

    def result(self, trial: int, result: dict[str, Any]) -> list[Instruction]:
        """Record a trial's result and the decisions that follow from it. Return the instructions."""
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

    def train_for(
        self, trial: int, *, running: int, save_after: float | None = None, answer: Asked | None = None
    ) -> TrainRequest | None:
        """Return how far a trial may train before the driver needs its results; ``None`` if it must wait.

        - ``running``: the number of running trials
        - ``save_after``: the time until the next checkpoint
        - ``answer``: the answer to the trial's last question
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
            answer=None if answer is None else Answer(answer.value, answer.error),
        )

    def _seconds_per_answer(self, running: int) -> float:
        least, most = _SECONDS_PER_ANSWER
        if (silence := self.sweep.budget.silence) is not None:
            most = min(most, silence / _ANSWERS_PER_SILENCE)
        return min(most, max(least, running / _ANSWERS_PER_SECOND))

    def checkpointed(self, trial: int, checkpoint: Any, *, best: str, contents: tuple[int, int]) -> None:
        """Record a new checkpoint, and the path ``best`` of the checkpoint that is kept for the best value.

        ``contents`` is the number of files and of bytes in the new checkpoint.
        """
        self.trial_dirs[trial] = checkpoint.filesystem, os.path.dirname(checkpoint.path)
        path, iteration = checkpoint_name(checkpoint.path), self.state.trials[trial].iteration
        self._apply(Checkpointed(trial, path, iteration, checkpoint_name(best), contents))
        self._fresh.append(checkpoint)

    def reconfigure(
        self, decision: Decision, *, trial_dir: Folder, checkpoint: str, contents: tuple[int, int]
    ) -> None:
        """Record that a trial resumes from its source's last checkpoint with a new configuration.

        ``checkpoint`` is the trial's own copy in its folder ``trial_dir``. ``contents`` is the copy's number
        of files and of bytes.
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
        """Record that a trial will be restarted after an error.

        If ``lanes`` is given, the device has memory for only that many trials, and the worker continues to
        run the others. Otherwise ``died`` says whether the worker died.
        """
        self._apply(Lost(trial, error, lanes, died))
        log.warning("trial %05d is restarted: %s", trial, _last_line(error))
        if lanes is not None:
            self.lanes_held.append(lanes)

    def leaked(self, leak: MemoryLeak, node: str) -> None:
        """Record that a worker is replaced because its trials leaked memory."""
        self._journal.write(Leaked(**asdict(leak), node=node))
        what = "a worker on %s is replaced: its trials leaked %s memory, from %d to %d bytes"
        log.warning(what, node, leak.memory, leak.before, leak.after)
        self.leaks.append(leak)

    def time_is_up(self, trial: int) -> None:
        """Record that a running trial is stopped because its time is up."""
        self._record(self.state.time_is_up(trial))

    def pruned(self, trial: int) -> None:
        """Record that a trial ends itself because it is not promising."""
        self._record(self.state.prune(trial))

    def end(self, trial: int, ending: Ending, error: str | None = None) -> None:
        """Record the end of a trial. Repeated calls do nothing."""
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
        """Record the GPU time of all trials."""
        self._journal.write(Spent(gpu_seconds))

    def discard(self, folders: Iterable[Folder]) -> None:
        """Schedule folders for deletion after the current journal is durable."""
        self._freed += folders

    def tidy(self) -> None:
        """Make the journal and new checkpoints durable, then delete the discarded folders."""
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
        """Let the searcher write its model into the results folder, for inspection by the user."""
        try:
            self.state.searcher.save(folder)
        except OSError as error:
            raise ResultsError(f"{folder}: cannot be written: {error}") from error

    def finish(self) -> None:
        """Record the end of the sweep, when no trial is running."""
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
    """Return the last line of a traceback, which names the error."""
    return (error.strip().splitlines() or [""])[-1]
