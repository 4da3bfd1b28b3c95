"""``TunerSearchCV``: a search over the parameters of an estimator, with scikit-learn's interface."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _check_method_params

from tuner.errors import Problem, SpecError
from tuner.journal import History
from tuner.model_selection._evaluation import Evaluation
from tuner.model_selection._fidelity import FOLDS, SAMPLES
from tuner.model_selection._results import cv_results, report_failures
from tuner.model_selection._running import run_search
from tuner.model_selection._settings import Fold, budget_of, is_local, scheduler_of, searcher_of
from tuner.model_selection._space import read_space
from tuner.space import SearchSpace

_DRAWS_TO_CHECK = 16
"""Candidates whose parameters are set before anything runs, so that a misspelled one is found at once."""


class TunerSearchCV(BaseSearchCV):
    """A search over the parameters of an estimator by cross-validation.

    It behaves as ``GridSearchCV`` and ``RandomizedSearchCV`` of scikit-learn do, with any searcher and
    scheduler of a sweep. ``cv_results_`` has their keys, and ``n_resources``.

    Args:
        estimator: The estimator or pipeline whose parameters are searched.
        space: Parameter -> dimension: ``Float(1e-3, 1.0, log=True)``, its form in a sweep file
            (``{"float": [1e-3, 1.0], "log": True}``), a list of options, or a frozen ``uniform``,
            ``loguniform`` or ``randint`` of ``scipy.stats``. An option may be an object, such as the step of
            a pipeline. Conditions (``when``) name it too.
        n_trials: The number of candidates; ``None``: the whole grid, what ``budget`` allows, or else 10.
        searcher: As in a sweep: a name, a mapping or an object; ``None`` draws at random.
        scheduler: As in a sweep; ``None`` stops no candidate early.
        resource: What a scheduler measures candidates by. ``"folds"``: an iteration is the next fold, and
            the objective is the mean so far. ``"n_samples"``: an iteration is all folds, fitted to more of
            their training rows. Otherwise it is a whole-number parameter of the estimator, such as
            ``"n_estimators"``, and each iteration sets it higher.
        min_resources, max_resources: The first and the last value of the resource. ``None``: chosen from the
            rows for ``"n_samples"``. A parameter needs ``max_resources``.
        budget: Further limits as in a sweep, such as ``{"seconds": 600}``.
        resources: The CPUs and GPUs of one trial, as in a sweep.
        n_jobs: The number of candidates at the same time. ``None`` and 1 evaluate one after another in this
            process. More run on Ray, and -1 fills the machine or cluster.
        address: The address of a running Ray cluster, on which the search runs.
        scoring, cv, refit, error_score, return_train_score: As in ``GridSearchCV``. A candidate ends at its
            first failed fit, unless ``error_score`` is a finite number.
        random_state: The seed of the search: an integer, a generator of NumPy, or ``None`` for another one
            each time.
        verbose: In this process, 2 or more print each fit, as scikit-learn does. On Ray, 1 shows the progress
            and 2 also the output of Ray and of the fits.
        out: A folder for the results folder, which ``tuner report`` reads; ``None`` keeps none.

    After ``fit``, ``report_`` is the search's ``Report``. Its best candidate may be another than
    ``best_index_``, which compares only candidates with the most resources, by their last values.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSearchCV._parameter_constraints,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        n_trials: int | None = None,
        searcher: Any = None,
        scheduler: Any = None,
        resource: str = FOLDS,
        min_resources: int | None = None,
        max_resources: int | None = None,
        budget: Any = None,
        resources: Any = None,
        n_jobs: int | None = None,
        address: str | None = None,
        scoring: Any = None,
        cv: Any = None,
        refit: Any = True,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        out: str | None = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space = space
        self.n_trials = n_trials
        self.searcher = searcher
        self.scheduler = scheduler
        self.resource = resource
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.budget = budget
        self.resources = resources
        self.address = address
        self.random_state = random_state
        self.out = out

    def fit(self, X: Any, y: Any = None, **params: Any) -> TunerSearchCV:  # noqa: N803
        """Run the search, and fit ``best_estimator_`` to all rows unless ``refit`` is false.

        ``params``: metadata for the estimator, the splitter and the scorers, as ``GridSearchCV`` routes it.
        For example, ``sample_weight`` is divided like the rows, and ``groups`` goes to the splitter.

        Raises SpecError if a setting is wrong, and ValueError if every candidate failed.
        """
        self._validate_params()
        if getattr(self, "_skl_callbacks", None):
            raise SpecError([Problem("callbacks", "must not be set: TunerSearchCV does not call them")])
        scorer, refit_metric = self._get_scorers()
        X, y = indexable(X, y)  # noqa: N806
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        folds = [Fold(*split) for split in splitter.split(X, y, **routed.splitter.split)]
        self.n_splits_ = len(folds)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        space, objects = read_space(self.space, self.estimator)
        with _inside("scheduler"):
            scheduler, fidelity = scheduler_of(self, folds, y, seed=seed)
        with _inside("searcher"):
            searcher = searcher_of(self)
        with _inside("budget"):
            budget = budget_of(self, searcher, iterations=len(fidelity.resources))
        evaluation = Evaluation(
            estimator=clone(self.estimator),
            X=X,
            y=y,
            folds=folds,
            scorer=scorer,
            fit_params=routed.estimator.fit,
            score_params=routed.scorer.score,
            error_score=self.error_score,
            return_train_score=self.return_train_score,
            verbose=self.verbose,
            names=space.names,
            objects=objects,
            fidelity=fidelity,
            objective=f"mean_test_{refit_metric if isinstance(refit_metric, str) else 'score'}",
        )
        _set_parameters(evaluation, space, seed=seed)
        parts = {
            "space": space,
            "objective": {"metric": evaluation.objective, "mode": "max"},
            "budget": budget,
            "searcher": searcher,
            "scheduler": scheduler,
            "seed": seed,
            "name": "search",
            "checkpoint_every": None,
        }
        if self.resources is not None:
            parts["resources"] = self.resources
        self.report_, history = run_search(self, evaluation, parts, local=is_local(self, budget))
        self._read(history, evaluation, refit_metric)
        if self.refit:
            self._fit_best(X, y, routed.estimator.fit)
        self.scorer_ = getattr(scorer, "_scorers", scorer)
        return self

    def _read(self, history: History, evaluation: Evaluation, refit_metric: Any) -> None:
        """Set the attributes that follow from the history of the search's sweep."""
        trials = [trial for _, trial in sorted(history.trials.items()) if trial.state != "pending"]
        if not any(trial.results or trial.error for trial in trials):
            raise ValueError(f"no candidate was evaluated before the search ended ({history.reason})")
        report_failures(trials, error_score=self.error_score)
        name = evaluation.fidelity.name
        results = cv_results(
            trials,
            evaluation.parameters,
            folds=self.n_splits_,
            resource=None if name in (FOLDS, SAMPLES) else name,
        )
        scores = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
        self.multimetric_ = scores != ["score"]
        if callable(self.scoring) and self.multimetric_:  # its names are known only now
            self._check_refit_for_multimetric(scores)
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        self.cv_results_ = results

    def _fit_best(self, X: Any, y: Any, fit_params: dict[str, Any]) -> None:  # noqa: N803
        """Fit the estimator with the best parameters to all rows."""
        best = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        began = time.monotonic()
        if y is None:
            best.fit(X, **fit_params)
        else:
            best.fit(X, y, **fit_params)
        self.refit_time_ = time.monotonic() - began
        self.best_estimator_ = best
        if hasattr(best, "feature_names_in_"):
            self.feature_names_in_ = best.feature_names_in_


@contextmanager
def _inside(argument: str) -> Iterator[None]:
    """Name the argument in the problems of a SpecError."""
    try:
        yield
    except SpecError as error:
        raise SpecError(problem.inside(argument) for problem in error.problems) from None


def _set_parameters(evaluation: Evaluation, space: SearchSpace, *, seed: int) -> None:
    """Set the parameters of random candidates. Raises SpecError if the estimator refuses any."""
    rng = np.random.default_rng([seed, _DRAWS_TO_CHECK])
    for _ in range(_DRAWS_TO_CHECK):
        parameters = evaluation.parameters(space.sample(rng))
        try:
            clone(evaluation.estimator).set_params(**clone(parameters, safe=False))
        except (ValueError, TypeError, AttributeError) as error:
            raise SpecError([Problem("space", f"{error} (for the candidate {parameters})")]) from error
