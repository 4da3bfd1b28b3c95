"""``Estimator``: a trainable for any estimator or pipeline with scikit-learn's interface.

A checkpoint holds only the trial's progress, since an estimator could only be pickled. A resumed trial
repeats its fits up to there. Fits are functions of the trial's seed, so the result is the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from ray.tune import Trainable

from trainables.atomic import write_whole
from trainables.configs import EstimatorConfig, EstimatorSettings, Seeds, parse
from trainables.data import datasets, splits
from trainables.data.held_out import HeldOut, test_names
from trainables.data.shared_rows import SharedRows, further_metrics
from trainables.data.sources import Source

if TYPE_CHECKING:
    from trainables.sklearn.fitting import Fitting

CHECKPOINT_FILE = "checkpoint.json"
CHECKPOINT_FORMAT = 1


class Estimator(SharedRows, HeldOut, Trainable):
    """Fits ``estimator`` and scores it on the validation rows. With folds, scores are means so far.

    Results are a pure function of the config and its seeds, also after a checkpoint is restored. A trial ends
    after one fit, after the last share of the samples, or after the last fold.
    """

    Config: ClassVar[type[EstimatorConfig]] = EstimatorConfig
    Settings: ClassVar[type[EstimatorSettings]] = EstimatorSettings
    most_gpus: ClassVar[int] = 0

    @classmethod
    def metrics(cls, settings: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of the metrics in each result. Raises ValueError if the settings do not fit."""
        given = parse(cls.Settings, settings, where="trainable")
        source = cls._source(given)
        splits.split(source, given, sweep_seed=0)
        names = tuple(f"val_{name}" for name in _names(given, source))
        return test_names(names) if given.refit else names

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        """Raise ValueError for an impossible configuration, as far as quick checks can tell."""
        from trainables.sklearn import fitting as estimators
        from trainables.sklearn.rows import EstimatorRows, takes_gaps

        hyperparameters, settings, _ = _parts(cls, config)
        source = cls._source(settings)
        made = estimators.build(
            settings.estimator,
            estimators.with_class_numbers(hyperparameters.model_extra or {}, source),
            random_state=0,
        )
        rows = EstimatorRows.of(made, source, hyperparameters, settings.columns)
        if not (rows.with_gaps and takes_gaps(made)):
            datasets.refuse_missing(source, hyperparameters)
        names = _names(settings, source)
        estimators.refuse_unable(made, source.task, settings.iteration, settings.grows, names)

    def setup(self, config: dict[str, Any]) -> None:
        """Start the trial that the flat ``config`` describes. Raises ValueError for an invalid one."""
        from trainables.sklearn import fitting as estimators
        from trainables.sklearn.rows import EstimatorRows

        self.check(config)
        self.hyperparameters, self.settings, self.seeds = _parts(type(self), config)
        self.source = self._source(self.settings)
        self._names = _names(self.settings, self.source)
        word = int(np.random.SeedSequence(self.seeds.seed).generate_state(1)[0])
        self._made = estimators.build(
            self.settings.estimator,
            estimators.with_class_numbers(self.hyperparameters.model_extra or {}, self.source),
            random_state=word >> 1,
        )
        self._rows = EstimatorRows.of(self._made, self.source, self.hyperparameters, self.settings.columns)
        self.dataset = self._dataset()
        self._training: Any = None
        self._fits = 0
        self._fold_scores: list[dict[str, float]] = []
        self._fitting: Fitting | None = None

    def step(self) -> dict[str, Any]:
        """Fit for one iteration and score."""
        if self.settings.refit:
            return self._refit()
        if self.settings.iteration == "folds":
            return self._fit_fold()
        self._fit()
        found = self._scores(self.dataset, self.dataset.validation)
        return {
            **{f"val_{name}": value for name, value in found.items()},
            "training_iteration": self._fits,
            "done": self.settings.iteration == "fit"
            or (self.settings.iteration == "samples" and self._fits >= self.settings.steps),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the trial's progress."""
        state = {
            "format": CHECKPOINT_FORMAT,
            "fits": self._fits,
            "scored": self._fold_scores,
            "rows": self._about_rows(),
        }
        text = json.dumps(state, indent=2)
        write_whole(Path(checkpoint_dir, CHECKPOINT_FILE), lambda file: file.write(text.encode()))

    def load_checkpoint(self, checkpoint: str) -> None:
        """Resume from a checkpoint: repeat its number of fits with this trial's hyperparameters.

        Raises ValueError when the checkpoint belongs to other rows.
        """
        state = json.loads(Path(checkpoint, CHECKPOINT_FILE).read_text(encoding="utf-8"))
        if state["rows"] != self._about_rows():
            raise ValueError(
                f"checkpoint: has other rows; must have {self._about_rows()}, got {state['rows']}"
            )
        self._fits, self._fold_scores, self._fitting = 0, state["scored"], None
        if self.settings.iteration in ("partial_fit", "warm_start") and not self.settings.refit:
            for _ in range(state["fits"]):
                self._fit()
        self._fits = state["fits"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become a new trial in the same process."""
        # Ray keeps the last result, and would store it with a checkpoint taken before the first iteration.
        self._last_result = None
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Release the estimator."""
        self._fitting = None

    def _refit(self) -> dict[str, Any]:
        """Fit to all rows except the test rows, then score on the test rows."""
        if self.settings.iteration in ("partial_fit", "warm_start"):
            for _ in range(self.settings.refit):
                self._fit()
        else:
            self._fits = self.settings.refit - 1  # with samples, fit to the share of iteration `refit`
            self._fit()
        return {
            f"test_{name}": value for name, value in self._scores(self.dataset, self.dataset.test).items()
        }

    def _fit(self) -> None:
        """Train for one more iteration on the training rows."""
        from trainables.sklearn.fitting import Fitting, at

        dataset = self.dataset
        if self._training is None:
            self._training = self._rows.features(dataset, dataset.training)
        features, targets = self._training, self.source.targets[dataset.training.rows]
        kind = self.settings.iteration
        self._fits += 1
        if kind == "samples":
            share = min(1.0, self._fits / self.settings.steps)
            rows = self._in_order(targets)[
                : max(2, len(self.source.class_names), round(share * len(targets)))
            ]
            features, targets = at(features, rows), targets[rows]
        if self._fitting is None or kind not in ("partial_fit", "warm_start"):
            self._fitting = Fitting(self._made)
            self._targets = targets  # the same array each time: `Fitting` recognises it
        if kind == "partial_fit":
            order = np.random.default_rng([self.seeds.seed, self._fits]).permutation(len(targets))
            batches = np.split(order, range(self.settings.batch_rows, len(order), self.settings.batch_rows))
            classes = np.unique(targets) if self.source.task == "classification" else None
            self._fitting.fit_more(features, self._targets, batches, classes)
            return
        if kind == "warm_start":
            assert self.settings.grows is not None
            size = self._fits * self.settings.growth
            self._fitting.last.set_params(warm_start=True, **{self.settings.grows: size})
        self._fitting.fit(features, self._targets)

    def _fit_fold(self) -> dict[str, Any]:
        """Fit to all folds except the next one. Returns means over the folds so far."""
        from trainables.sklearn.fitting import Fitting

        folds = splits.folds(
            self.source, self.settings, sweep_seed=self.seeds.sweep_seed, count=self.settings.folds
        )
        dataset = datasets.of_rows(
            self.source, folds[self._fits], self._rows.fitted_config, self.settings.precision
        )
        self._fits += 1
        self._fitting = Fitting(self._made)
        features = self._rows.features(dataset, dataset.training)
        self._fitting.fit(features, self.source.targets[dataset.training.rows])
        self._fold_scores.append(self._scores(dataset, dataset.validation))
        return {
            **{f"val_{name}": fmean(scores[name] for scores in self._fold_scores) for name in self._names},
            "training_iteration": self._fits,
            "done": self._fits >= len(folds),
        }

    def _scores(self, dataset: datasets.Dataset, part: datasets.Part) -> dict[str, float]:
        assert self._fitting is not None
        features = self._rows.features(dataset, part)
        return self._fitting.scores(features, self.source.targets[part.rows], self.source.task, self._names)

    def _in_order(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return an order of the training rows whose every prefix is about stratified by class."""
        generator = np.random.default_rng([self.seeds.sweep_seed, self.seeds.seed])
        if self.source.task == "regression":
            return generator.permutation(len(targets))
        places = np.empty(len(targets))
        for number in np.unique(targets):
            rows = generator.permutation(np.flatnonzero(targets == number))
            places[rows] = np.arange(len(rows)) / len(rows)
        return np.argsort(places, kind="stable")

    def _dataset(self) -> datasets.Dataset:
        return self._row_cache().prepared(
            self.source, self.settings, self._rows.fitted_config, sweep_seed=self.seeds.sweep_seed
        )

    def _about_rows(self) -> dict[str, Any]:
        own = set(type(self.settings).model_fields) - set(_DATA)
        seed = self.seeds.sweep_seed if self.settings.split_seed is None else self.settings.split_seed
        return {**self.settings.model_dump(mode="json", exclude=own), "split_seed": seed}


_DATA = ("dataset", "path", "target", "features", "task", "validation", "test", "division", "iteration")


def _names(settings: EstimatorSettings, source: Source) -> tuple[Any, ...]:
    """Return the metrics to compute, the usual one first."""
    usual = "accuracy" if source.task == "classification" else "rmse"
    return (usual, *further_metrics(settings, source.task))


def _parts(
    cls: type[Estimator], config: Mapping[str, Any]
) -> tuple[EstimatorConfig, EstimatorSettings, Seeds]:
    """Return the hyperparameters, settings and seeds of a configuration."""
    settings = {name: config[name] for name in cls.Settings.model_fields if name in config}
    seeds = {name: config[name] for name in Seeds.model_fields if name in config}
    rest = {name: value for name, value in config.items() if name not in settings and name not in seeds}
    return (
        parse(cls.Config, rest, where="config"),
        parse(cls.Settings, settings, where="config"),
        parse(Seeds, seeds, where="config"),
    )
