"""``Estimator``: any estimator or pipeline of scikit-learn's kind, an iteration being what the settings say.

A checkpoint holds no estimator, which could only be pickled: it says how far the trial had come, and who goes
on from it fits again up to there. Fits are functions of the trial's seed, so the outcome is the same.
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
    """Fits what ``estimator`` names and scores it on the validation rows; of folds, the mean so far.

    Results are a pure function of the config and its seeds, also after a checkpoint is restored. A trial ends
    by itself after one fit, after the last share of the samples, or after the last fold.
    """

    Config: ClassVar[type[EstimatorConfig]] = EstimatorConfig
    Settings: ClassVar[type[EstimatorSettings]] = EstimatorSettings
    most_gpus: ClassVar[int] = 0

    @classmethod
    def metrics(cls, settings: dict[str, Any]) -> tuple[str, ...]:
        """Names of the metrics that each result has; raises ValueError if the settings cannot be met."""
        given = parse(cls.Settings, settings, where="trainable")
        source = cls._source(given)
        splits.split(source, given, sweep_seed=0)
        names = tuple(f"val_{name}" for name in _names(given, source))
        return test_names(names) if given.refit else names

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        """Raise ValueError when no trial can have this configuration, as far as that is quickly seen."""
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
        """Start the trial that the flat ``config`` describes; raises ValueError for keys of no one."""
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
        self._scored: list[dict[str, float]] = []  # fold by fold
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
        """Write how far the trial has come."""
        state = {
            "format": CHECKPOINT_FORMAT,
            "fits": self._fits,
            "scored": self._scored,
            "rows": self._about_rows(),
        }
        text = json.dumps(state, indent=2)
        write_whole(Path(checkpoint_dir, CHECKPOINT_FILE), lambda file: file.write(text.encode()))

    def load_checkpoint(self, checkpoint: str) -> None:
        """Resume from a checkpoint: repeat its number of fits with this trial's hyperparameters.

        Raises ValueError when it is one of other rows.
        """
        state = json.loads(Path(checkpoint, CHECKPOINT_FILE).read_text(encoding="utf-8"))
        if state["rows"] != self._about_rows():
            raise ValueError(
                f"checkpoint: was fitted to other rows; must be {self._about_rows()}, got {state['rows']}"
            )
        self._fits, self._scored, self._fitting = 0, state["scored"], None
        if self.settings.iteration in ("partial_fit", "warm_start") and not self.settings.refit:
            for _ in range(state["fits"]):
                self._fit()
        self._fits = state["fits"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become a new trial in the same process."""
        # Ray keeps the last result, and would file it with a checkpoint taken before the first iteration.
        self._last_result = None
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Release the estimator."""
        self._fitting = None

    def _refit(self) -> dict[str, Any]:
        """Fit to all but the test rows, and only then look at those."""
        if self.settings.iteration in ("partial_fit", "warm_start"):
            for _ in range(self.settings.refit):
                self._fit()
        else:
            self._fits = self.settings.refit - 1  # of samples: the share that the search had come to
            self._fit()
        return {
            f"test_{name}": value for name, value in self._scores(self.dataset, self.dataset.test).items()
        }

    def _fit(self) -> None:
        """One more iteration on the training rows."""
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
            self._targets = targets  # the very array, so that a pipeline's first steps know it again
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
        """Fit to all folds but the next one; the means over the folds so far."""
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
        self._scored.append(self._scores(dataset, dataset.validation))
        return {
            **{f"val_{name}": fmean(scored[name] for scored in self._scored) for name in self._names},
            "training_iteration": self._fits,
            "done": self._fits >= len(folds),
        }

    def _scores(self, dataset: datasets.Dataset, part: datasets.Part) -> dict[str, float]:
        assert self._fitting is not None
        features = self._rows.features(dataset, part)
        return self._fitting.scores(features, self.source.targets[part.rows], self.source.task, self._names)

    def _in_order(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Training rows such that the first of them have each class in about its share, and at least once."""
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
    """The metrics that are computed, the usual one first."""
    usual = "accuracy" if source.task == "classification" else "rmse"
    return (usual, *further_metrics(settings, source.task))


def _parts(
    cls: type[Estimator], config: Mapping[str, Any]
) -> tuple[EstimatorConfig, EstimatorSettings, Seeds]:
    """The hyperparameters, settings and seeds of a configuration."""
    settings = {name: config[name] for name in cls.Settings.model_fields if name in config}
    seeds = {name: config[name] for name in Seeds.model_fields if name in config}
    rest = {name: value for name, value in config.items() if name not in settings and name not in seeds}
    return (
        parse(cls.Config, rest, where="config"),
        parse(cls.Settings, settings, where="config"),
        parse(Seeds, seeds, where="config"),
    )
