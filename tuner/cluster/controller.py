"""``Controller``: Ray Tune's controller, in which the sweep's state decides and warm workers run trials."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pyarrow.fs import FileType
from ray.exceptions import RayActorError
from ray.tune.error import TuneError
from ray.tune.experiment import Experiment, Trial
from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT
from ray.tune.schedulers import TrialScheduler

from tuner.cluster.actors import LaneActors, StartFailed, lanes_held
from tuner.cluster.adapters import Request, SchedulerAdapter, SearchAdapter, configure
from tuner.cluster.checkpoints import take_checkpoints
from tuner.cluster.driver import SweepDriver
from tuner.cluster.fresh import Fresh
from tuner.cluster.lanes import Pool
from tuner.cluster.listener import Listener
from tuner.cluster.loggers import Loggers
from tuner.cluster.queueing import NoWaitWarning, QueueingController, is_behind
from tuner.cluster.retries import Retries, disturbance
from tuner.cluster.save_times import SaveTimes
from tuner.cluster.worker_times import WorkerTimes
from tuner.errors import ResultsError, TrialError, TunerError
from tuner.journal import History
from tuner.journal.events import Asked
from tuner.objective import Ending
from tuner.schedulers import Action, Decision
from tuner.state import WORKER_LOSSES, Conclude, Pending, Save
from tuner.storage.checkpoints import StorageFailed
from tuner.worker import crash_report
from tuner.worker.gang import RankDied
from tuner.worker.process import cause_of
from tuner.worker.results import PRUNED, RESOURCE, SAVEABLE
from tuner.worker.tasks import HALTED, QUESTION, SECONDS_TO_STOP

_SECONDS_TO_CLOSE = 20  # a worker that cannot end its trial within this time is killed and replaced
_SECONDS_BETWEEN_CHECKS = 0.2
_SECONDS_BETWEEN_TIDYINGS = 1.0
_TIMES_TOO_MANY = 3  # a trial that met full device memory this often gets a worker for itself

Saves = Literal["on demand", "by itself", "never"]
"""When a trial can write a checkpoint: when the driver requests it, when its function does so, or never."""


class Controller(QueueingController):
    """Runs the trials of one sweep until they end. Each ``step`` handles pending events."""

    def __init__(
        self,
        driver: SweepDriver,
        pool: Pool,
        experiment: Experiment,
        *,
        request: Request,
        saves: Saves,
        loggers: Loggers,
    ) -> None:
        self._driver = driver
        self._pool = pool
        driver.count_workers = pool.counts
        self._saves = saves
        self._to_resume: list[Decision] = []
        self._to_drop: list[Trial] = []
        super().__init__(
            search_alg=SearchAdapter(driver, experiment, request),
            scheduler=SchedulerAdapter(),
            storage=experiment.storage,
            resource_manager_factory=lambda: pool,
        )
        # We call the loggers ourselves, since Ray would log the repeated results of a restarted trial.
        self._results_dir = Path(experiment.storage.experiment_fs_path).parent
        self._loggers = loggers
        self._loggers.setup(**experiment.public_spec)
        self._watch = WorkerTimes(driver.sweep.budget)
        self._retries = Retries(driver.sweep.budget.retries)
        self._saved = SaveTimes(None if saves == "never" else driver.sweep.checkpoint_every)
        self._is_winding_up = False
        self._halted: set[Trial] = set()
        self._answers: dict[int, Asked] = {}  # trial -> the answer that its next request brings
        self._silence = Listener(driver, pool)
        self._checked = self._tidied = 0.0
        self._idle: list[Trial] = []  # trials on a worker that wait for a share of total_iterations
        self._actor_manager = LaneActors(pool, on_leak=driver.leaked)
        self._insufficient_resources_manager = NoWaitWarning()
        self._actor_cleanup_timeout = _SECONDS_TO_CLOSE + driver.sweep.trainable.seconds_to_stop()
        # We create trials only for workers that are ready, so Ray need not limit pending trials.
        self._max_pending_trials = 10**9

    def take_over(self, history: History, pending: Pending) -> None:
        """Continue an interrupted sweep, whose state has already been replayed."""
        self._watch.gpu_seconds = history.gpu_seconds
        self._to_resume = list(pending.resumed)
        for number, state in self._driver.state.trials.items():
            trial = self._search_alg.trial(number)
            trial.init_local_path()
            filesystem, path = trial.storage.storage_filesystem, trial.storage.trial_fs_path
            if self._driver.state.keeps(number) and filesystem.get_file_info(path).type is FileType.Directory:
                self._driver.trial_dirs[number] = filesystem, path
            if state.has_ended:
                trial.set_status(Trial.TERMINATED)
            else:
                checkpoints = history.trials[number].checkpoints
                if damaged := take_checkpoints(trial, checkpoints, self._driver.sweep.objective):
                    self._driver.lost(number, f"missing or damaged: {', '.join(damaged)}", died=False)
                paused = self._waits_paused(state)
                state.is_unsaved = paused and is_behind(trial, state)
                trial.set_status(Trial.PAUSED if paused else Trial.PENDING)
            self.add_trial(trial)
        self._to_drop = [self._trials[number] for number in pending.dropped]
        for number, state in self._driver.state.trials.items():
            if state.ending is not None and not state.has_ended:  # the end was decided but not carried out
                self._end(self._trials[number], state.ending)

    def stop_all(self) -> None:
        """Stop every trial that has not ended. Their results remain valid."""
        for trial in self._trials:
            if not trial.is_finished():
                self._end(trial, "stopped")

    def wind_up(self, *, enough: Callable[[], bool]) -> None:
        """Let each running trial finish its iteration and write a checkpoint to continue from.

        Returns when all trials have done so, or when ``enough`` returns true.
        """
        if not any(self._can_save(trial.last_result) for trial in self._running_trials):
            return
        self._is_winding_up = True
        workers = {
            lease.worker for _, lease in self._actor_manager._live_actors_to_ray_actors_resources.values()
        }
        for worker in workers:
            worker.actor.halt.remote()
        while self._actor_manager.num_actor_tasks > 0 and not enough():
            self.step()

    def close(self, *, enough: Callable[[], bool]) -> None:
        """Let ended trials clean up, until ``enough()``. Then kill all workers and close all loggers."""
        seconds = SECONDS_TO_STOP + self._driver.sweep.trainable.seconds_to_stop()
        self._actor_manager.await_closing(seconds=seconds, enough=enough)
        self._actor_manager.cleanup()
        self._driver.notes += self._loggers.close(self._trials, interrupted=not self.is_finished())

    def is_finished(self) -> bool:
        """Return whether the sweep is done. Unlike Ray's version, this does not check all trials."""
        return bool(self._driver.state.is_closed and all(trial.is_finished() for trial in self._live_trials))

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Do nothing: the journal contains the sweep's state."""

    @property
    def gpu_seconds(self) -> float:
        """The number of GPUs held by trials, integrated over time."""
        return self._watch.gpu_seconds

    def step(self) -> None:
        """Handle pending events and start trials. Raises ResultsError if the disk is full."""
        try:
            super().step()
        except TuneError as error:  # Ray 2.60 wraps errors that occur while it processes a result
            if isinstance(error.__context__, (TunerError, OSError)):
                raise error.__context__ from None
            raise

    def on_step_begin(self) -> None:
        if self._is_winding_up:
            return
        self._pool.grow()
        if time.monotonic() - self._tidied >= _SECONDS_BETWEEN_TIDYINGS:
            self._tidied = time.monotonic()
            self._driver.tidy()
        self._watch.tick(self._pool.gpus)
        self._silence.listen({int(trial.trial_id) for trial in self._running_trials})
        if self._watch.is_needed and time.monotonic() - self._checked >= _SECONDS_BETWEEN_CHECKS:
            self._checked = time.monotonic()
            self._end_late_trials()
        idle, self._idle = self._idle, []
        for trial in idle:
            if not trial.is_finished():
                self._schedule_trial_train(trial)

    def _end_late_trials(self) -> None:
        """End trials that exceed their time limit or have stopped reporting."""
        places = {}
        for tracked_actor, (lane, lease) in self._actor_manager._live_actors_to_ray_actors_resources.items():
            trial = self._actor_to_trial.get(tracked_actor)
            if lease.worker.is_ready and trial is not None and not trial.is_finished():
                places[int(trial.trial_id)] = lease.worker, lane.number
        self._watch.see(places)
        for number in self._watch.overdue():
            self._driver.time_is_up(number)
            self._end(self._trials[number], "stopped")
        for worker, trials in self._watch.silent():
            silence = self._driver.sweep.budget.silence
            for number in trials:
                self._fail(self._trials[number], f"it reported nothing for {silence:g} s (budget.silence)")
            # The worker's other trials are restarted, as after any death of a worker.
            worker.end()

    def _actor_started(self, tracked_actor: Any, log: str = "STARTED") -> None:
        trial = self._actor_to_trial[tracked_actor]
        _, lease = self._actor_manager._live_actors_to_ray_actors_resources[tracked_actor]
        worker = lease.worker
        self._driver.started(int(trial.trial_id), worker.where(), worker=worker.number, ranks=worker.ranks())
        self._saved.now(int(trial.trial_id))
        self._answers.pop(int(trial.trial_id), None)
        self._silence.started(int(trial.trial_id))
        super()._actor_started(tracked_actor, log)
        if isinstance(trial.placement_group_factory, Fresh):
            trial.placement_group_factory = trial.placement_group_factory.like
        self._loggers.started(trial, iteration=self._iteration, trials=self._trials)

    def _process_trial_results(self, trial: Trial, results: list[dict[str, Any]]) -> None:
        if self._is_winding_up and results and HALTED in results[-1] and RESULT_DUPLICATE not in results[-1]:
            results[-1][SHOULD_CHECKPOINT] = self._can_save(results[-1])
            self._halted.add(trial)
        super()._process_trial_results(trial, results)
        if trial.is_saving:
            # The decision on the last result must wait for its checkpoint. Ray 2.60 would already carry out
            # the decisions on earlier results, and let the trial train further, even beyond its end.
            self._queued_trial_decisions.pop(trial.trial_id, None)

    def _process_trial_result(self, trial: Trial, result: dict[str, Any]) -> Any:
        number = int(trial.trial_id)
        self._watch.heard(number)
        self._silence.heard(number)
        if QUESTION in result:
            self._answers[number] = self._driver.ask(number, **result[QUESTION])
            configure(trial, self._driver)
            self._queue_decision(trial, TrialScheduler.CONTINUE)
            return TrialScheduler.CONTINUE
        if RESULT_DUPLICATE in result:
            if PRUNED in result:
                self._driver.pruned(number)
            return super()._process_trial_result(trial, result)
        action = self._follow(number, result)
        if not self._driver.state.trials[number].repeats:
            self._log(trial, result)
        if shared := self._retries.progressed(number, result["training_iteration"]):
            self._pool.keep_apart()
            self._driver.notes.append(disturbance(shared))
        if result["done"]:  # Ray ends the trial without asking a scheduler
            return super()._process_trial_result(trial, result)
        self._scheduler_alg.actions[number] = action
        if action is not Action.CONTINUE or result.get(SHOULD_CHECKPOINT) or trial.is_saving:
            return super()._process_trial_result(trial, result)
        trial.update_last_result(result)  # most results have no consequence; this saves 0.2 ms for each
        self._queue_decision(trial, TrialScheduler.CONTINUE)
        return TrialScheduler.CONTINUE

    def _follow(self, number: int, result: dict[str, Any]) -> Action:
        """Pass a result to the state and follow its instructions. Return the action for the trial."""
        action = Action.CONTINUE
        for instruction in self._driver.result(number, result):
            if isinstance(instruction, Save) and HALTED in result and self._can_save(result):
                result[SHOULD_CHECKPOINT] = True
            elif isinstance(instruction, Conclude):
                action = Action.STOP if instruction.ending == "stopped" else Action.COMPLETE
            elif isinstance(instruction, Decision):
                action = instruction.action
        return action

    def _can_save(self, result: dict[str, Any]) -> bool:
        """Return whether the trial with this last result can write a checkpoint when it is asked to."""
        return self._saves == "on demand" or SAVEABLE in result

    def _log(self, trial: Trial, result: dict[str, Any]) -> None:
        if not self._loggers:
            return
        flat = {name: value for name, value in result.items() if name not in ("metrics", RESOURCE)}
        flat = {**flat, **result["metrics"], "config": trial.config}
        self._loggers.result(trial, flat, iteration=self._iteration, trials=self._trials)

    def _schedule_trial_train(self, trial: Trial) -> None:
        if trial in self._halted:
            return
        number = int(trial.trial_id)
        request = self._driver.train_for(
            number,
            running=len(self._running_trials),
            save_after=self._saved.due_in(number),
            answer=self._answers.get(number),
        )
        if request is None:
            self._idle.append(trial)
            return
        self._answers.pop(number, None)
        self._schedule_trial_task(
            trial=trial,
            method_name="train",
            args=(request,),
            on_result=self._on_training_result,
            on_error=self._trial_task_failure,
        )

    def _process_trial_save(self, trial: Trial, checkpoint_value: Any) -> None:
        if checkpoint_value.checkpoint:  # measure it first: inside Ray, an error would only be logged
            trial.run_metadata.checkpoint_manager.measure(checkpoint_value.checkpoint)
        super()._process_trial_save(trial, checkpoint_value)
        if checkpoint_value.checkpoint:
            about = {"iteration": self._iteration, "trials": self._trials}
            self._loggers.checkpointed(trial, checkpoint_value.checkpoint, **about)
            checkpoints, new = trial.run_metadata.checkpoint_manager, checkpoint_value.checkpoint
            best = checkpoints.best_checkpoint_result.checkpoint.path
            self._driver.checkpointed(
                int(trial.trial_id), new, best=best, contents=checkpoints.contents[new.path]
            )
            self._driver.discard(checkpoints.take_freed())
            self._saved.now(int(trial.trial_id))

    def _schedule_trial_save(self, trial: Trial, result: dict[str, Any] | None = None) -> Any:
        self._saved.begins(int(trial.trial_id))
        return super()._schedule_trial_save(trial, result)

    def _schedule_trial_pause(self, trial: Trial, should_checkpoint: bool = True) -> None:
        super()._schedule_trial_pause(trial, should_checkpoint and self._saves != "never")

    def stop_trial(self, trial: Trial) -> None:
        # If the scheduler decided nothing, the trainable itself is done.
        self._end(trial, self._driver.state.trials[int(trial.trial_id)].ending or "completed")

    def _end(self, trial: Trial, ending: Ending) -> None:
        if self._driver.sweep.budget.gpu_seconds is not None:
            self._driver.spent(self.gpu_seconds)
        self._driver.end(int(trial.trial_id), ending)
        self._loggers.ended(trial, iteration=self._iteration, trials=self._trials)
        self._schedule_trial_stop(trial)
        self._live_trials.discard(trial)

    def _process_trial_failure(self, trial: Trial, exception: Exception) -> None:
        number = int(trial.trial_id)
        if trial.is_finished():
            return
        if isinstance(cause := cause_of(exception), StorageFailed):
            raise ResultsError(str(cause))
        if isinstance(exception, StartFailed):
            self._driver.lost(number, str(exception), died=False)
            self._try_recover(trial, exception)
            return
        if (lanes := lanes_held(exception)) is not None:
            self._driver.lost(number, self._explain(exception), lanes=lanes)
            if self._driver.state.trials[number].times_too_many >= _TIMES_TOO_MANY:
                self._pool.suspect()
            self._try_recover(trial, exception)
            return
        if trial.temporary_state.restoring_from and trial.run_metadata.checkpoint_manager.is_damaged():
            self._drop_checkpoint(trial, exception)
            return
        worker_died = isinstance(exception, RayActorError) or isinstance(cause, RankDied)
        if worker_died and (starts := self._driver.state.starts_left(number)) > 0:
            if starts == 1:  # run the last attempt alone, so that no other trial can kill the worker
                self._pool.suspect()
            self._driver.lost(number, self._explain(exception))
            self._try_recover(trial, exception)
            return
        error = self._explain(exception)
        iteration, used = self._driver.state.trials[number].iteration, self._is_used(trial)
        if worker_died:
            error = f"the worker process died {WORKER_LOSSES} times without progress\n{error}"
        elif self._retries.tries_again(number, error, iteration=iteration, used=used):
            self._driver.lost(number, error, died=False)
            trial.placement_group_factory = Fresh(trial.placement_group_factory)
            self._try_recover(trial, exception)
            return
        self._fail(trial, error, exception)

    def _is_used(self, trial: Trial) -> bool:
        """Return whether a trial's process has run other trials."""
        actor = self._trial_to_actor.get(trial)
        _, lease = self._actor_manager._live_actors_to_ray_actors_resources.get(actor, (None, None))
        return lease is not None and lease.worker.trials_so_far > 1

    def _drop_checkpoint(self, trial: Trial, exception: Exception) -> None:
        """Restart a trial whose checkpoint is missing or damaged, from an earlier one if possible."""
        checkpoints = trial.run_metadata.checkpoint_manager
        self._driver.lost(int(trial.trial_id), f"missing or damaged: {trial.checkpoint.path}", died=False)
        checkpoints.drop_latest()
        self._driver.discard(checkpoints.take_freed())
        self._try_recover(trial, exception)

    def _fail(self, trial: Trial, error: str, exception: Exception | None = None) -> None:
        self._driver.end(int(trial.trial_id), "failed", error)
        self._loggers.ended(trial, failed=True, iteration=self._iteration, trials=self._trials)
        self._schedule_trial_stop(trial, exception=exception or TrialError(error))
        self._live_trials.discard(trial)

    def _explain(self, exception: Exception) -> str:
        """Return the worker's own explanation of an error or of its death, else Ray's text."""
        if isinstance(exception, RayActorError):
            return crash_report.read(self._results_dir, exception)
        cause = cause_of(exception)
        return str(cause if isinstance(cause, TrialError) else exception)
