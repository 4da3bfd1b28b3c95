"""The faces that a ``Host`` shows Ray Tune's controller: where trials come from, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Trainable
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm

from tuner.engine.checkpoints import Checkpoints
from tuner.engine.host import Course, Host
from tuner.schedulers import Action
from tuner.sweep import Sweep

_FOR_RAY: dict[Action, str] = {
    Action.CONTINUE: TrialScheduler.CONTINUE,
    Action.PAUSE: TrialScheduler.PAUSE,
    Action.STOP: TrialScheduler.STOP,
    Action.COMPLETE: TrialScheduler.STOP,
}

Request = Callable[[dict[str, Any]], PlacementGroupFactory]
"""What a trial with this configuration holds while it runs."""


class _Trial(Trial):
    """A trial whose class is known to the workers, so that Ray's registry is not asked for it each time."""

    logs: Path | None = None
    """Where loggers write what they have of this trial."""

    def get_trainable_cls(self) -> Any:
        return Trainable

    @property
    def local_path(self) -> str | None:
        return None if self.logs is None else str(self.logs)

    def init_local_path(self) -> None:
        # Ray would make a folder below its temporary directory for each trial.
        self.relative_logdir = self.storage.trial_dir_name = self.trial_id
        if self.logs is not None:
            self.logs.mkdir(parents=True, exist_ok=True)

    def update_last_result(self, result: dict[str, Any]) -> None:
        # Ray also keeps five figures on each metric of each trial, which nobody reads here.
        self.run_metadata.last_result = result


def configure(trial: Trial, host: Host) -> None:
    """Give a paused trial the configuration that its course has now."""
    course = host.courses[int(trial.trial_id)]
    trial.set_config(_given(course, host.sweep))
    trial.evaluated_params = course.config


def _given(course: Course, sweep: Sweep) -> dict[str, Any]:
    """What the trainable is given."""
    return sweep.trainable.given(course.config, seed=course.seed, sweep_seed=sweep.seed)


class HostedSearch(SearchAlgorithm):
    """The face of a host that gives Ray's controller its trials."""

    def __init__(self, host: Host, experiment: Experiment, request: Request) -> None:
        self._host = host
        self._experiment = experiment
        self._logs = Path(experiment.storage.storage_fs_path) / "logs"
        self._request = request

    def next_trial(self) -> Trial | None:
        course = self._host.suggest()
        return None if course is None else self.trial(course)

    def trial(self, course: Course) -> Trial:
        """What Ray's controller knows of a trial."""
        sweep = self._host.sweep
        config = _given(course, sweep)
        trial = _Trial(
            self._experiment.spec["run"],
            config=config,
            evaluated_params=course.config,
            stub=True,  # not looked up, see _Trial
            trial_id=f"{course.number:05d}",
            storage=self._experiment.storage,
            placement_group_factory=self._request(config),
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        trial.run_metadata.checkpoint_manager = Checkpoints(sweep.objective)
        if sweep.loggers:
            trial.logs = self._logs / trial.trial_id
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        return

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        return

    def is_finished(self) -> bool:
        return self._host.exhausted

    def set_finished(self) -> None:
        self._host.close()


class HostedScheduler(TrialScheduler):
    """The face of a host that answers Ray's controller what becomes of a trial."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        return

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return _FOR_RAY[self._host.courses[int(trial.trial_id)].action]

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        return

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        return

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        return

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        return None  # the controller asks the host itself, when a worker is free

    def debug_string(self) -> str:
        return ""
