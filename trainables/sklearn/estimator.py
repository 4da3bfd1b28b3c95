"""``Estimator``: a trainable for any estimator or pipeline with scikit-learn's interface.

A checkpoint holds the trial's progress, since an estimator could only be pickled. A resumed trial repeats its
fits up to there. Fits are functions of the trial's seed, so the result is the same. With ``iteration:
boosting`` the checkpoint also holds the model, in the format of its library, and no fit is repeated.
"""

from __future__ import annotations

import json
import os
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
    from trainables.sklearn.rows import FitRows

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
    most_processes: ClassVar[int] = 1

    @classmethod
    def metrics(cls, settings: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of the metrics in each result. Raises ValueError if the settings do not fit."""
        given = parse(cls.Settings, settings, where="trainable")
        source = cls._source(given)
        splits.split(source, given, sweep_seed=0)
        names = tuple(f"val_{name}" for name in (*_names(given, source), *given.named_scorers()))
        names = (*names, "rounds") if _counts_rounds(given) else names
        return test_names(names) if given.refit else names

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        """Raise ValueError for an impossible configuration, as far as quick checks can tell."""
        from trainables.sklearn import boosting, building, fitting, scoring
        from trainables.sklearn.rows import EstimatorRows, takes_gaps

        hyperparameters, settings, _ = _parts(cls, config)
        source = cls._source(settings)
        parameters = building.with_class_numbers(hyperparameters.model_extra or {}, source)
        made = building.build(settings.estimator, parameters, random_state=0, threads=None)
        rows = EstimatorRows.of(made, source, hyperparameters, settings.columns)
        if not (rows.with_gaps and takes_gaps(made)):
            datasets.refuse_missing(source, hyperparameters)
        fitting.refuse_unable(made, source.task, settings, _names(settings, source))
        if settings.iteration == "boosting":
            boosting.refuse_rounds(building.last_step(made), parameters)
        scoring.scorers(settings.named_scorers())

    def setup(self, config: dict[str, Any]) -> None:
        """Start the trial that the flat ``config`` describes. Raises ValueError for an invalid one."""
        from trainables.sklearn import building, scoring
        from trainables.sklearn.rows import EstimatorRows

        self.check(config)
        self.hyperparameters, self.settings, self.seeds = _parts(type(self), config)
        self.source = self._source(self.settings)
        self._names = _names(self.settings, self.source)
        word = int(np.random.SeedSequence(self.seeds.seed).generate_state(1)[0])
        parameters = building.with_class_numbers(self.hyperparameters.model_extra or {}, self.source)
        self._made = building.build(
            self.settings.estimator, parameters, random_state=word >> 1, threads=_threads()
        )
        self._draws_anew = not any(name.endswith(("random_state", "random_seed")) for name in parameters)
        self._scorers = scoring.scorers(self.settings.named_scorers())
        self._rows = EstimatorRows.of(self._made, self.source, self.hyperparameters, self.settings.columns)
        self.dataset = self._dataset()
        self._training: FitRows | None = None
        self._fits = 0
        self._fold_scores: list[dict[str, float]] = []
        self._fitting: Fitting | None = None
        self._model: Any = None  # with iteration boosting: the rounds so far

    def step(self) -> dict[str, Any]:
        """Fit for one iteration and score."""
        if self.settings.refit:
            return self._refit()
        if self.settings.iteration == "folds":
            return self._fit_fold()
        self._fit()
        return {
            **self._scores(self.dataset, self.dataset.validation),
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
        if self._model is not None:
            from trainables.sklearn import boosting, building

            boosting.save_model(building.last_step(self._made), self._model, Path(checkpoint_dir))
        text = json.dumps(state, indent=2)
        write_whole(Path(checkpoint_dir, CHECKPOINT_FILE), lambda file: file.write(text.encode()))

    def load_checkpoint(self, checkpoint: str) -> None:
        """Resume from a checkpoint: load its model, or repeat its fits with this trial's hyperparameters.

        Raises ValueError when the checkpoint belongs to other rows.
        """
        state = json.loads(Path(checkpoint, CHECKPOINT_FILE).read_text(encoding="utf-8"))
        if state["rows"] != self._about_rows():
            raise ValueError(
                f"checkpoint: has other rows; must have {self._about_rows()}, got {state['rows']}"
            )
        self._fits, self._fold_scores, self._fitting, self._model = 0, state["scored"], None, None
        if self.settings.iteration in ("partial_fit", "warm_start") and not self.settings.refit:
            for _ in range(state["fits"]):
                self._fit()
        self._fits = state["fits"]
        if self.settings.iteration == "boosting" and self._fits:
            from trainables.sklearn import boosting, building

            self._model = boosting.load_model(building.last_step(self._made), Path(checkpoint))

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
        if self.settings.early_stopping_rounds is not None:
            self._fix_rounds()
        if self.settings.iteration in ("partial_fit", "warm_start", "boosting"):
            for _ in range(self.settings.refit):
                self._fit()
        else:
            self._fits = self.settings.refit - 1  # with samples, fit to the share of iteration `refit`
            self._fit()
        return self._scores(self.dataset, self.dataset.test, prefix="test_")

    def _fix_rounds(self) -> None:
        """Set the number of rounds to what early stopping finds with the validation rows of the search."""
        from trainables.sklearn import boosting, building
        from trainables.sklearn.fitting import Fitting

        assert self.settings.early_stopping_rounds is not None
        searched = self.settings.model_copy(update={"refit": 0})
        parts = splits.split(self.source, searched, sweep_seed=self.seeds.sweep_seed)
        dataset = datasets.of_rows(self.source, parts, self._rows.fitted_config, self.settings.precision)
        fitting = Fitting(self._made)
        fitting.fit_until_worse(
            self._rows_of(dataset, dataset.training),
            self._rows_of(dataset, dataset.validation),
            patience=self.settings.early_stopping_rounds,
        )
        last = boosting.with_rounds(building.last_step(self._made), boosting.rounds(fitting.last))
        self._made = building.with_last_step(self._made, last)

    def _fit(self) -> None:
        """Train for one more iteration on the training rows."""
        from trainables.sklearn import boosting
        from trainables.sklearn.fitting import Fitting

        if self._training is None:  # the same arrays each time: `Fitting` recognises them
            self._training = self._rows_of(self.dataset, self.dataset.training)
        rows, kind = self._training, self.settings.iteration
        self._fits += 1
        if kind == "samples":
            rows = self._share_of(rows)
        if self._fitting is None or kind not in ("partial_fit", "warm_start", "boosting"):
            self._fitting = Fitting(self._made)
        if kind == "partial_fit":
            order = np.random.default_rng([self.seeds.seed, self._fits]).permutation(len(rows.targets))
            batches = np.split(order, range(self.settings.batch_rows, len(order), self.settings.batch_rows))
            classes = np.unique(rows.targets) if self.source.task == "classification" else None
            self._fitting.fit_more(rows, batches, classes)
        elif kind == "boosting":
            self._fitting.fit_rounds(
                rows, self._model, count=self.settings.growth, random_state=self._random_state()
            )
            self._model = boosting.model_of(self._fitting.last)
        else:
            if kind == "warm_start":
                assert self.settings.grows is not None
                size = self._fits * self.settings.growth
                self._fitting.last.set_params(warm_start=True, **{self.settings.grows: size})
            self._fit_whole(self._fitting, rows, self.dataset)

    def _fit_whole(self, fitting: Fitting, rows: FitRows, dataset: datasets.Dataset) -> None:
        """Fit to rows, with early stopping on the validation rows of a data set if the settings say so."""
        if self.settings.early_stopping_rounds is None or self.settings.refit:
            fitting.fit(rows)
        else:
            validation = self._rows_of(dataset, dataset.validation)
            fitting.fit_until_worse(rows, validation, patience=self.settings.early_stopping_rounds)

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
        self._fit_whole(self._fitting, self._rows_of(dataset, dataset.training), dataset)
        self._fold_scores.append(self._scores(dataset, dataset.validation))
        return {
            **{name: fmean(scores[name] for scores in self._fold_scores) for name in self._fold_scores[0]},
            "training_iteration": self._fits,
            "done": self._fits >= len(folds),
        }

    def _scores(
        self, dataset: datasets.Dataset, part: datasets.Part, *, prefix: str = "val_"
    ) -> dict[str, float]:
        """Return the metrics of a part's rows under their names with ``prefix``, and the number of rounds."""
        from trainables.sklearn import boosting

        assert self._fitting is not None
        rows = self._rows_of(dataset, part)
        found = self._fitting.scores(
            rows, self.source.task, self._names, self._scorers, self.source.class_values
        )
        named: dict[str, float] = {f"{prefix}{name}": value for name, value in found.items()}
        if _counts_rounds(self.settings):
            named["rounds"] = boosting.rounds(self._fitting.last)
        return named

    def _rows_of(self, dataset: datasets.Dataset, part: datasets.Part) -> FitRows:
        """Return the features, targets and weights of a part, as the estimator gets them."""
        from trainables.sklearn.rows import FitRows

        weights = self.source.table.roles.get("sample_weight")
        return FitRows(
            self._rows.features(dataset, part),
            self.source.targets[part.rows],
            None if weights is None else weights[part.rows],
        )

    def _share_of(self, rows: FitRows) -> FitRows:
        """Return the share of the training rows that this iteration fits to."""
        from trainables.sklearn.fitting import at

        share = min(1.0, self._fits / self.settings.steps)
        count = max(2, len(self.source.class_names), round(share * len(rows.targets)))
        places = self._in_order(rows.targets)[:count]
        weights = None if rows.weights is None else rows.weights[places]
        return type(rows)(at(rows.features, places), rows.targets[places], weights)

    def _random_state(self) -> int | None:
        """Return the seed of this iteration's rounds; ``None`` if a hyperparameter sets it."""
        if not self._draws_anew:
            return None
        words = np.random.SeedSequence([self.seeds.seed, self._fits]).generate_state(1)
        return int(words[0]) >> 1

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
        roles = {} if not self.settings.time else {"time": self.settings.time}
        about = self.settings.model_dump(mode="json", exclude=own)
        return {**about, **self.settings.roles(), **roles, "split_seed": seed}


_DATA = ("dataset", "path", "target", "features", "task", "validation", "test", "division", "iteration")


def _threads() -> int | None:
    """Return the number of CPU threads that the worker gives a trial; ``None`` outside a worker."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else None


def _counts_rounds(settings: EstimatorSettings) -> bool:
    return settings.early_stopping_rounds is not None or settings.iteration == "boosting"


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
