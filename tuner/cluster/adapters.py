"""Adapters that let Ray's controller use the sweep's state as its search algorithm and scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Trainable
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm

from tuner.cluster.checkpoints import Checkpoints
from tuner.cluster.driver import SweepDriver
from tuner.cluster.fresh import Fresh
from tuner.schedulers import Action
from tuner.space import Config
from tuner.state import TrialState
from tuner.sweep import Sweep

_FOR_RAY: dict[Action, str] = {
    Action.CONTINUE: TrialScheduler.CONTINUE,
    Action.PAUSE: TrialScheduler.PAUSE,
    Action.STOP: TrialScheduler.STOP,
    Action.COMPLETE: TrialScheduler.STOP,
}

Request = Callable[[Config, dict[str, Any]], PlacementGroupFactory]
"""Returns a trial's resource request for its hyperparameters and the config that its trainable receives."""


class _Trial(Trial):
    """A trial whose class is not looked up in Ray's registry, since the workers know the class."""

    logs: Path | None = None
    """The folder for the files of Ray's callbacks for this trial."""

    def get_trainable_cls(self) -> Any:
        return Trainable

    @property
    def local_path(self) -> str | None:
        return None if self.logs is None else str(self.logs)

    def init_local_path(self) -> None:
        # Ray would create a folder in its temporary directory for each trial.
        self.relative_logdir = self.storage.trial_dir_name = self.trial_id
        if self.logs is not None:
            self.logs.mkdir(parents=True, exist_ok=True)

    def update_last_result(self, result: dict[str, Any]) -> None:
        # Ray would also compute five statistics of each metric, which we do not use.
        self.run_metadata.last_result = result


def configure(trial: Trial, driver: SweepDriver) -> None:
    """Copy the configuration of a paused trial from the state to Ray's trial."""
    state = driver.state.trials[int(trial.trial_id)]
    trial.set_config(_trainable_config(state, driver.sweep))
    trial.evaluated_params = state.config


def request_again(trial: Trial, request: Request) -> None:
    """Let a trial with a new configuration request the resources that this needs."""
    wanted = request(trial.evaluated_params, trial.config)
    before = trial.placement_group_factory
    trial.placement_group_factory = Fresh(wanted) if isinstance(before, Fresh) else wanted


def _trainable_config(state: TrialState, sweep: Sweep) -> dict[str, Any]:
    """Return the configuration that the trainable receives."""
    return sweep.trainable.given(state.config, seed=state.seed, sweep_seed=sweep.seed)


class SearchAdapter(SearchAlgorithm):
    """Passes the state's suggestions to Ray's controller."""

    def __init__(self, driver: SweepDriver, experiment: Experiment, request: Request) -> None:
        self._driver = driver
        self._experiment = experiment
        self._logs = Path(experiment.storage.storage_fs_path) / "logs"
        self.request = request

    def next_trial(self) -> Trial | None:
        suggested = self._driver.suggest()
        return None if suggested is None else self.trial(suggested.trial)

    def trial(self, number: int) -> Trial:
        """Return Ray's object for a trial."""
        sweep, state = self._driver.sweep, self._driver.state.trials[number]
        config = _trainable_config(state, sweep)
        trial = _Trial(
            self._experiment.spec["run"],
            config=config,
            evaluated_params=state.config,
            stub=True,  # skips the look-up in Ray's registry; see _Trial
            trial_id=f"{number:05d}",
            storage=self._experiment.storage,
            placement_group_factory=self.request(state.config, config),
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        trial.run_metadata.checkpoint_manager = Checkpoints(sweep.objective)
        if any(logger.tracker() is None for logger in sweep.loggers):
            trial.logs = self._logs / trial.trial_id
        return trial

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        return

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        return

    def is_finished(self) -> bool:
        return self._driver.state.is_closed

    def set_finished(self) -> None:
        self._driver.state.close()


class SchedulerAdapter(TrialScheduler):
    """Passes the state's decisions to Ray's controller."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: dict[int, Action] = {}
        """The decision about each trial's last result."""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        return

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return _FOR_RAY[self.actions[int(trial.trial_id)]]

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        return

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        return

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        return

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        return None  # our controller asks the state directly when a worker is free

    def debug_string(self) -> str:
        return ""
