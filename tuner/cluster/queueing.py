"""``QueueingController``: decides when Ray Tune's controller starts, resumes and ends trials."""

from __future__ import annotations

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.result import TRAINING_ITERATION

from tuner.cluster.adapters import configure, request_again
from tuner.cluster.checkpoints import copy_checkpoint
from tuner.cluster.driver import SweepDriver
from tuner.cluster.lanes import Pool
from tuner.objective import Ending
from tuner.schedulers import Decision
from tuner.state import TrialState


class NoWaitWarning:
    """Replaces Ray's warning about trials that wait for 60 s, which fails in Ray 2.60 if there is no trial.

    We create trials only for workers that are ready, and a cluster may need minutes to start the first one.
    """

    def on_no_available_trials(self, all_trials: list[Trial]) -> None:
        return


class QueueingController(TuneController):
    """Assigns free workers to trials as the sweep's state decides."""

    _driver: SweepDriver
    _pool: Pool
    _to_resume: list[Decision]
    _to_drop: list[Trial]
    _is_winding_up: bool

    def _end(self, trial: Trial, ending: Ending) -> None:
        raise NotImplementedError

    def _fail(self, trial: Trial, error: str, exception: Exception | None = None) -> None:
        raise NotImplementedError

    def _maybe_update_trial_queue(self) -> None:
        """Fill the free workers. Paused trials that may resume come before new trials."""
        if self._is_winding_up:
            return
        self._to_drop += [self._trials[number] for number in self._driver.drop()]
        for trial in [trial for trial in self._to_drop if _has_paused(trial)]:
            self._to_drop.remove(trial)
            self._end(trial, "stopped")
        self._start_resumed()
        while self._free_workers() > len(self._to_resume) and (decision := self._driver.resume()) is not None:
            self._to_resume.append(decision)
            self._start_resumed()
        while self._free_workers() > len(self._to_resume) and self._update_trial_queue():
            self._maybe_add_actors()

    def _start_resumed(self) -> None:
        """Start resumable trials in decision order.

        A trial waits until every trial that copies its checkpoint has done so.
        """
        waiting: list[Decision] = []
        for decision in self._to_resume:
            trial = self._trials[decision.trial]
            source = trial if decision.source is None else self._trials[decision.source]
            copied = any(earlier.source == decision.trial for earlier in waiting)
            ready = not copied and self._is_ready(trial) and self._is_ready(source)
            if not ready or (decision.source is not None and self._start_catch_up(source)):
                waiting.append(decision)
            elif trial.status == Trial.PAUSED and self._reconfigure(trial, source, decision):
                self._set_trial_status(trial, Trial.PENDING)
                self._maybe_add_actors()
        self._to_resume = waiting

    def _is_ready(self, trial: Trial) -> bool:
        """Return whether every earlier decision about the trial has been carried out."""
        catches_up = self._driver.state.trials[int(trial.trial_id)].pauses_again
        return trial.is_finished() or (_has_paused(trial) and not catches_up)

    def _start_catch_up(self, source: Trial) -> bool:
        """Restart a trial that lost its last checkpoint, so that others can copy it.

        Returns whether the trial was restarted.
        """
        state = self._driver.state.trials[int(source.trial_id)]
        if source.status != Trial.PAUSED or not state.is_unsaved or not is_behind(source, state):
            return False
        self._driver.state.catch_up(state.number)
        self._set_trial_status(source, Trial.PENDING)
        self._maybe_add_actors()
        return True

    def _reconfigure(self, trial: Trial, source: Trial, decision: Decision) -> bool:
        """Give a trial the source's checkpoint and a new configuration, if so decided.

        Returns whether the trial can resume. It fails if the source has no checkpoint.
        """
        if decision.source is None or source.status != Trial.PAUSED:  # a source that failed is not copied
            return True
        if source.latest_checkpoint_result is None:
            used = f"{decision.resource:g} {self._driver.sweep.scheduler.resource}"
            what = f"trial {source.trial_id} has no checkpoint to resume from after {used}"
            self._fail(trial, f"{what}; report one together with a result")
            return False
        if source is not trial:
            copy_checkpoint(source, trial, metric=self._driver.sweep.objective.metric)
        trial_dir = trial.storage.storage_filesystem, trial.storage.trial_fs_path
        checkpoints, path = trial.run_metadata.checkpoint_manager, trial.checkpoint.path
        about = {"checkpoint": path, "contents": checkpoints.contents[path]}
        self._driver.reconfigure(decision, trial_dir=trial_dir, **about)
        self._driver.discard(checkpoints.take_freed())
        configure(trial, self._driver)
        request_again(trial, self._search_alg.request)
        return True

    def _free_workers(self) -> int:
        """Return the number of trials that could start now, less those that already wait."""
        waiting = int(self._actor_manager.num_pending_actors) - self._pool.awaiting_fresh
        return int(self._pool.free - waiting)

    def _requeue_trial(self, trial: Trial) -> None:
        paused = self._waits_paused(self._driver.state.trials[int(trial.trial_id)])
        self._set_trial_status(trial, Trial.PAUSED if paused else Trial.PENDING)
        self._live_trials.add(trial)

    def _waits_paused(self, state: TrialState) -> bool:
        """Return whether a trial without a worker is paused, or was decided to resume but has not started."""
        waits = any(decision.trial == state.number for decision in self._to_resume)
        return (state.state == "paused" or waits) and not state.pauses_again


def _has_paused(trial: Trial) -> bool:
    """Return whether a trial that must pause has left its worker: it wrote its checkpoint, or it failed."""
    return bool(trial.status != Trial.RUNNING)


def is_behind(trial: Trial, state: TrialState) -> bool:
    """Return whether a trial's newest checkpoint is older than its last result."""
    latest = trial.latest_checkpoint_result
    return latest is None or bool(latest.metrics[TRAINING_ITERATION] < state.iteration)
