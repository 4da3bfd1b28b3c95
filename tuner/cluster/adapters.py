"""What Ray's controller takes for its search algorithm and its scheduler, and what answers for the state."""

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
from tuner.schedulers import Action
from tuner.state import TrialState
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


def configure(trial: Trial, driver: SweepDriver) -> None:
    """Give a paused trial the configuration that its state has now."""
    state = driver.state.trials[int(trial.trial_id)]
    trial.set_config(_given(state, driver.sweep))
    trial.evaluated_params = state.config


def _given(state: TrialState, sweep: Sweep) -> dict[str, Any]:
    """What the trainable is given."""
    return sweep.trainable.given(state.config, seed=state.seed, sweep_seed=sweep.seed)


class SearchAdapter(SearchAlgorithm):
    """Gives Ray's controller the trials that the state suggests."""

    def __init__(self, driver: SweepDriver, experiment: Experiment, request: Request) -> None:
        self._driver = driver
        self._experiment = experiment
        self._logs = Path(experiment.storage.storage_fs_path) / "logs"
        self._request = request

    def next_trial(self) -> Trial | None:
        suggested = self._driver.suggest()
        return None if suggested is None else self.trial(suggested.trial)

    def trial(self, number: int) -> Trial:
        """What Ray's controller knows of a trial."""
        sweep, state = self._driver.sweep, self._driver.state.trials[number]
        config = _given(state, sweep)
        trial = _Trial(
            self._experiment.spec["run"],
            config=config,
            evaluated_params=state.config,
            stub=True,  # not looked up, see _Trial
            trial_id=f"{number:05d}",
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
        return self._driver.state.is_closed

    def set_finished(self) -> None:
        self._driver.state.close()


class SchedulerAdapter(TrialScheduler):
    """Answers Ray's controller with what the state has decided about a trial."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: dict[int, Action] = {}
        """What becomes of each trial after its last result."""

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
        return None  # our controller asks the state itself, when a worker is free

    def debug_string(self) -> str:
        return ""
