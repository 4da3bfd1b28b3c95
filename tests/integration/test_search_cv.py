"""``TunerSearchCV`` on Ray: the same results as in one process, whatever the number of workers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tuner import Float, TrialError, TunerSearchCV

X, Y = load_wine(return_X_y=True, as_frame=True)
PIPELINE = Pipeline([("scale", StandardScaler()), ("reduce", "passthrough"), ("svc", SVC())])
SPACE = {
    "svc__C": Float(1e-3, 1e3, log=True),
    "reduce": ["passthrough", PCA()],
    "reduce__n_components": {"int": [2, 10], "when": {"reduce": "PCA()"}},
}

pytestmark = pytest.mark.usefixtures("cluster")


class FailsForTwo(ClassifierMixin, BaseEstimator):
    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, features, targets):
        if self.depth == 2:
            raise RuntimeError("too deep")
        self.classes_ = np.unique(targets)
        return self

    def predict(self, features):
        return np.full(len(features), self.classes_[0])


def test_the_results_are_those_of_one_process():
    given = {"svc__sample_weight": np.linspace(0.5, 2, len(Y)), "groups": np.arange(len(Y)) % 9}
    here, there = (
        TunerSearchCV(
            PIPELINE,
            SPACE,
            n_trials=8,
            cv=GroupKFold(3),
            scoring=["accuracy", "f1_macro"],
            refit="f1_macro",
            random_state=0,
            n_jobs=jobs,
        ).fit(X, Y, **given)
        for jobs in (None, 2)
    )
    for key in here.cv_results_:
        if "time" not in key and "param" not in key:
            assert here.cv_results_[key].tolist() == there.cv_results_[key].tolist()
    assert str(here.best_params_) == str(there.best_params_)
    assert list(there.feature_names_in_) == list(X.columns)
    assert (here.predict(X) == there.predict(X)).all()


def test_paused_candidates_continue_with_their_next_fold():
    search = TunerSearchCV(
        PIPELINE, SPACE, n_trials=12, cv=5, scheduler="asha", random_state=0, n_jobs=-1
    ).fit(X, Y)
    results = pd.DataFrame(search.cv_results_)
    assert set(results["n_resources"]) == {1, 3, 5}
    for _, row in results.iterrows():
        scores = [row[f"split{split}_test_score"] for split in range(5)]
        assert np.isfinite(scores).sum() == row["n_resources"]
        assert row["mean_test_score"] == pytest.approx(np.nanmean(scores))


def test_the_first_error_is_raised_if_the_user_asks_for_it():
    search = TunerSearchCV(
        FailsForTwo(), {"depth": [1, 2]}, searcher="grid", cv=2, n_jobs=2, error_score="raise"
    )
    with pytest.raises(TrialError, match=r"^candidate 1 failed:\n[^$]*RuntimeError: too deep"):
        search.fit(X, Y)
