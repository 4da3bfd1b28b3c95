"""``TrainableContract``: the tests that every class trainable must pass."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

from tuner import contract
from tuner.spec import locate
from tuner.testing._randomness import global_randomness, global_states


class TrainableContract:
    """The tests that every class trainable with checkpoints must pass.

    Metrics whose name ends in ``seconds`` are times and may differ. All others must be reproduced. Tests of
    capabilities that the class lacks (see ``tuner.contract``) are skipped.
    """

    trainable: ClassVar[type[Any] | str]
    """The class or its import path."""

    config: ClassVar[Mapping[str, Any]]
    """Hyperparameters and settings that it accepts."""

    iterations: ClassVar[int] = 3
    """Number of iterations of the curves that are compared."""

    seed_matters: ClassVar[bool] = True
    """Whether another seed gives another curve. ``False``: the training is deterministic."""

    lane_tolerance: ClassVar[float] = 1e-3
    """Largest difference of a metric between lanes and a trial alone, relative or absolute."""

    def setup_method(self) -> None:
        """Keep Ray's log folders out of the home directory, and limit PyTorch to one CPU as in a trial."""
        from tempfile import TemporaryDirectory

        from ray.tune.trainable import trainable as ray_module

        named = self.trainable
        self._class = locate(named, {}, what="trainable") if isinstance(named, str) else named
        self._running: list[Any] = []
        self._ray_module, self._storage_path = ray_module, ray_module.DEFAULT_STORAGE_PATH
        self._logs = TemporaryDirectory()
        ray_module.DEFAULT_STORAGE_PATH = self._logs.name
        self._torch = sys.modules.get("torch")
        if self._torch:
            self._threads = self._torch.get_num_threads()
            self._torch.set_num_threads(1)

    def teardown_method(self) -> None:
        """Stop every running trial."""
        for trial in list(self._running):
            self.stop(trial)
        self._ray_module.DEFAULT_STORAGE_PATH = self._storage_path
        self._logs.cleanup()
        if self._torch:
            self._torch.set_num_threads(self._threads)

    def start(self, **overrides: Any) -> Any:
        """Return a new trial in this process, with ``overrides`` in its configuration."""
        self._running.append(self._class(config={**self.config, "seed": 0, "sweep_seed": 0, **overrides}))
        return self._running[-1]

    def stop(self, trial: Any) -> None:
        """Stop a trial."""
        self._running.remove(trial)
        trial.stop()

    def results(self, seed: int) -> list[dict[str, Any]]:
        """Return all results of a trial that trains alone, made once for all tests that compare with them.

        It trains one iteration more than ``iterations``.
        """
        made: dict[int, list[dict[str, Any]]] = vars(type(self)).get("_made", {})
        type(self)._made = made
        if seed not in made:
            trial = self.start(seed=seed)
            made[seed] = [trial.train() for _ in range(self.iterations + 1)]
            self.stop(trial)
        return made[seed]

    def curve(self, seed: int) -> list[dict[str, Any]]:
        """Return the metrics of ``results`` without times, of ``iterations`` iterations."""
        return [_comparable(result) for result in self.results(seed)[: self.iterations]]

    _made: ClassVar[dict[int, list[dict[str, Any]]]]

    def test_results_have_the_declared_metrics_as_finite_numbers(self) -> None:
        declared = self._class.metrics(self.settings()) if hasattr(self._class, "metrics") else ()
        for result in map(_metrics, self.results(0)):
            assert set(declared) <= result.keys()
            numbers = [value for value in result.values() if isinstance(value, float)]
            assert numbers
            assert all(map(math.isfinite, numbers))

    def test_iterations_are_counted_from_one(self) -> None:
        counted = [result["training_iteration"] for result in self.results(0)]
        assert counted == list(range(1, self.iterations + 2))

    def test_a_restored_trial_continues_exactly(self, tmp_path: Any) -> None:
        original = self.start()
        _train(original, 2)
        saved = original.save(str(tmp_path / "saved"))
        restored = self.start()
        restored.restore(saved)
        assert [restored.train()["training_iteration"] for _ in range(2)] == [3, 4]
        restored.restore(saved)
        assert _train(restored, self.iterations) == _train(original, self.iterations)

    def test_saving_does_not_disturb_the_training(self, tmp_path: Any) -> None:
        saving = self.start()
        found = []
        for iteration in range(self.iterations):
            found += _train(saving, 1)
            saving.save(str(tmp_path / str(iteration)))
        assert found == self.curve(0)

    def test_a_checkpoint_holds_the_state_at_its_time(self, tmp_path: Any) -> None:
        original = self.start()
        saved = original.save(str(tmp_path / "before the first iteration"))
        _train(original, 1)
        original.restore(saved)
        assert _train(original, self.iterations) == self.curve(0)

    def test_the_same_seed_gives_the_same_curve(self) -> None:
        assert _train(self.start(seed=1), self.iterations) == self.curve(1)

    def test_another_seed_gives_another_curve(self) -> None:
        import pytest

        if not self.seed_matters:
            pytest.skip("its seed does not matter")
        assert self.curve(1) != self.curve(2)

    def test_trials_of_one_process_do_not_influence_each_other(self) -> None:
        pair = [self.start(seed=1), self.start(seed=2)]
        turns = [[_train(trial, 1)[0] for trial in pair] for _ in range(self.iterations)]
        assert [list(curve) for curve in zip(*turns, strict=True)] == [self.curve(1), self.curve(2)]

    def test_an_unknown_hyperparameter_is_refused_by_name(self) -> None:
        import pytest

        if not isinstance(self._class, (contract.DeclaresHyperparameters, contract.ChecksConfigurations)):
            pytest.skip("it declares no hyperparameters")
        with pytest.raises(ValueError, match="no_such_hyperparameter"):
            self.start(no_such_hyperparameter=1)

    def test_a_reset_trial_equals_a_new_one(self) -> None:
        import pytest

        used = self.start(seed=1)
        _train(used, self.iterations)
        if not used.reset({**self.config, "seed": 2, "sweep_seed": 0}):
            pytest.skip("cannot be reset")
        assert _train(used, self.iterations) == self.curve(2)

    def test_global_random_states_are_neither_used_nor_changed(self) -> None:
        expected = self.curve(0)
        with global_randomness(1):
            before = global_states()
            assert _train(self.start(), self.iterations) == expected
            assert before.items() <= global_states().items()

    def test_stopping_a_trial_leaves_the_others_alone(self) -> None:
        first, second = self.start(), self.start()
        _train(first, 1)
        first_result = _train(second, 1)
        self.stop(first)
        undisturbed = [_comparable(result) for result in self.results(0)]
        assert first_result + _train(second, self.iterations) == undisturbed

    def test_a_stopped_trial_is_garbage_collected(self) -> None:
        frozen = gc.get_freeze_count()
        gc.freeze()  # the collection below then looks at this trial's objects only
        try:
            trial = self.start()
            _train(trial, 1)
            self.stop(trial)
            kept = weakref.ref(trial)
            del trial
            gc.collect()
            assert kept() is None
        finally:
            if not frozen:
                gc.unfreeze()

    def test_it_has_all_members_of_each_of_its_capabilities(self) -> None:
        assert list(map(str, contract.problems(self._class, self._class.__name__))) == []

    def test_its_bounds_are_numbers_that_a_trial_can_have(self) -> None:
        bounds = {name: getattr(self._class, name, None) for name in ("most_gpus", "most_processes")}
        gpus, processes = bounds["most_gpus"], bounds["most_processes"]
        assert gpus is None or gpus >= 0
        assert processes is None or (isinstance(processes, int) and processes >= 1)

    def test_it_accepts_its_configuration(self) -> None:
        self.needs(contract.ChecksConfigurations).check({**self.config, "seed": 0, "sweep_seed": 0})

    def test_trials_train_on_shared_data_as_on_their_own(self) -> None:
        import pickle

        own = self.curve(0)
        trainable = self.needs(contract.SharesData)
        shared = trainable.shared(self.settings(), sweep_seed=0)
        trainable.adopt(self.settings(), pickle.loads(pickle.dumps(shared)), sweep_seed=0)
        assert _train(self.start(), self.iterations) == own

    def test_trials_train_in_lanes_as_alone(self) -> None:
        import pytest

        trainable = self.needs(contract.TrainsInLanes)
        if hasattr(trainable, "prepare"):
            trainable.prepare()
        together = [self.start(seed=seed) for seed in (1, 2, 3)]
        key, *others = [trial.fusion_key() for trial in together]
        if key is None:
            pytest.skip("its trials train alone")
        assert others == [key, key]
        curves: list[list[dict[str, Any]]] = [[], [], []]
        for _ in range(self.iterations):
            trainable.fused_step(together)
            for curve, trial in zip(curves, together, strict=True):
                curve += _train(trial, 1)
        for curve, seed in zip(curves, (1, 2, 3), strict=True):
            for result, expected in zip(curve, self.curve(seed), strict=True):
                assert result == pytest.approx(expected, rel=self.lane_tolerance, abs=self.lane_tolerance)

    def test_a_restored_trial_trains_in_lanes(self, tmp_path: Any) -> None:
        trainable = self.needs(contract.TrainsInLanes)
        original = self.start()
        _train(original, 1)
        restored, other = self.start(), self.start(seed=1)
        restored.restore(original.save(str(tmp_path / "saved")))
        if restored.fusion_key() is not None:
            trainable.fused_step([restored, other])
        assert restored.train()["training_iteration"] == 2

    def test_best_lanes_is_between_one_and_most(self) -> None:
        trainable = self.needs(contract.TrainsInLanes)
        configs = [{**self.config, "seed": seed, "sweep_seed": 0} for seed in range(3)]
        assert 1 <= trainable.best_lanes(configs, most=2) <= 2

    def test_it_says_whether_trials_train_together(self) -> None:
        trainable = self.needs(contract.ExplainsLanes)
        configs = [{**self.config, "seed": seed, "sweep_seed": 0} for seed in range(3)]
        reason = trainable.why_alone(configs)
        assert reason is None or reason
        assert reason is not None or 0 <= trainable.fitting(configs) <= 3

    def test_its_own_configuration_can_be_applied_after_a_restore(self, tmp_path: Any) -> None:
        original = self.start(seed=1)
        self.needs(contract.AppliesConfig, of=original)
        _train(original, 1)
        restored = self.start(seed=2)
        restored.restore(original.save(str(tmp_path / "saved")))
        restored.apply_config(restored.config)
        assert _train(restored, 1)

    def test_it_can_be_repeated_and_scored_on_the_test_rows(self) -> None:
        trainable = self.needs(contract.CanBeEvaluated)
        settings, additions = trainable.repeated(self.settings(), sweep_seed=0, repeats=2)
        assert len(additions) == 2
        for seed, addition in enumerate(additions):
            assert _train(self.start(**settings, **addition, seed=seed), 1)
        for metric in trainable.metrics(self.settings()):
            with contextlib.suppress(ValueError):  # it is not a metric of the validation rows
                about = {"sweep_seed": 0, "iterations": 1, "metric": metric}
                settings, name = trainable.final(self.settings(), **about)
                assert name in _train(self.start(**settings), 1)[0]
                return
        raise AssertionError("no metric can be evaluated on the test rows")

    def test_it_exports_a_checkpoint(self, tmp_path: Any) -> None:
        trainable = self.needs(contract.Exports)
        trial = self.start()
        _train(trial, 1)
        saved, out = tmp_path / "saved", tmp_path / "model"
        out.mkdir()
        trial.save(str(saved))
        trainable.export(str(saved), str(out))
        assert list(out.iterdir())

    def settings(self) -> dict[str, Any]:
        """Return the settings in ``config``."""
        return {key: value for key, value in self.config.items() if _is_setting(self._class, key)}

    def needs(self, capability: Any, *, of: Any = None) -> Any:
        """Return the class if it (or the trial ``of``) has a capability. Otherwise skip the test."""
        import pytest

        if not isinstance(self._class if of is None else of, capability):
            pytest.skip(f"it does not have tuner.contract.{capability.__name__}")
        return self._class


def _is_setting(trial: Any, name: str) -> bool:
    """Return whether ``name`` is a setting, according to the class's ``Settings`` or else ``Config``."""
    settings, config = (
        getattr(getattr(trial, part, None), "model_fields", ()) for part in ("Settings", "Config")
    )
    return name in settings if settings else name not in config


def _train(trial: Any, iterations: int) -> list[dict[str, Any]]:
    """Train a trial for ``iterations`` more, and return its own metrics of each, without times."""
    return [_comparable(trial.train()) for _ in range(iterations)]


def _comparable(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result's own metrics without times."""
    return {name: value for name, value in _metrics(result).items() if not name.endswith("seconds")}


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    from tuner.worker.results import metrics_of

    return metrics_of(result)
