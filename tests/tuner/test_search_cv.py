"""``TunerSearchCV`` in one process, against scikit-learn's own searches."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from tuner import Asha, Float, Int, Report, SearchSpace, SpecError, TunerSearchCV
from tuner.schedulers import SCHEDULERS

X, Y = load_wine(return_X_y=True)
PIPELINE = Pipeline([("scale", StandardScaler()), ("reduce", "passthrough"), ("svc", SVC())])
GRID = {"svc__C": [0.01, 1.0, 10.0], "reduce": ["passthrough", PCA(2)]}
WEIGHTS = np.random.default_rng(0).uniform(0.1, 2, len(Y))
SHUFFLED = np.random.default_rng(1).permutation(len(Y))


def grid(estimator=PIPELINE, space=GRID, **arguments):
    return TunerSearchCV(estimator, space, searcher="grid", **arguments)


def by_parameters(results):
    """Return the rows of ``cv_results_`` by their parameters, without times and resources."""
    kept = [key for key in results if "time" not in key and key not in ("params", "n_resources")]
    return {
        repr(sorted(params.items())): {key: str(results[key][row]) for key in kept}
        for row, params in enumerate(results["params"])
    }


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ({"cv": 4, "return_train_score": True}, {}),
        ({"cv": TimeSeriesSplit(3), "scoring": "f1_macro"}, {}),
        ({"cv": GroupKFold(3)}, {"groups": np.arange(len(Y)) % 7}),
        ({"cv": 3}, {"svc__sample_weight": WEIGHTS}),
        ({"cv": 3, "scoring": ["accuracy", "f1_macro"], "refit": "f1_macro"}, {}),
        ({"cv": 3, "scoring": {"own": make_scorer(accuracy_score)}, "refit": "own"}, {}),
        ({"cv": [(np.arange(0, 178, 2), np.arange(1, 178, 2))]}, {}),
    ],
    ids=["folds", "time series", "groups", "weights", "metrics", "scorers", "one split"],
)
def test_a_grid_gives_the_results_of_grid_search(arguments, given):
    ours, theirs = grid(**arguments), GridSearchCV(PIPELINE, GRID, **arguments)
    ours.fit(X[SHUFFLED], Y[SHUFFLED], **given)
    theirs.fit(X[SHUFFLED], Y[SHUFFLED], **given)
    assert ours.cv_results_.keys() - {"n_resources"} == theirs.cv_results_.keys()
    assert by_parameters(ours.cv_results_) == by_parameters(theirs.cv_results_)
    assert ours.best_score_ == theirs.best_score_
    assert ours.score(X, Y) == theirs.score(X, Y)
    assert (ours.multimetric_, ours.n_splits_) == (theirs.multimetric_, theirs.n_splits_)
    for name in ("mean_fit_time", "std_score_time"):
        assert ours.cv_results_[name].shape == (6,)
    assert ours.cv_results_["param_svc__C"].dtype == theirs.cv_results_["param_svc__C"].dtype


def test_weights_reach_the_scorer_as_in_grid_search():
    tree, depths = DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}
    ours = grid(tree, depths, cv=3).fit(X, Y, sample_weight=WEIGHTS)
    theirs = GridSearchCV(tree, depths, cv=3).fit(X, Y, sample_weight=WEIGHTS)
    assert by_parameters(ours.cv_results_) == by_parameters(theirs.cv_results_)


def test_metadata_is_routed_to_those_that_request_it():
    with sklearn.config_context(enable_metadata_routing=True):
        tree = DecisionTreeClassifier(random_state=0).set_fit_request(sample_weight=True)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        arguments = {"cv": GroupKFold(3), "scoring": scorer}
        given = {"sample_weight": WEIGHTS, "groups": np.arange(len(Y)) % 5}
        ours = grid(tree, {"max_depth": [1, 3]}, **arguments).fit(X, Y, **given)
        theirs = GridSearchCV(tree, {"max_depth": [1, 3]}, **arguments).fit(X, Y, **given)
    assert by_parameters(ours.cv_results_) == by_parameters(theirs.cv_results_)


@parametrize_with_checks(
    [
        grid(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2, error_score="raise"),
        TunerSearchCV(
            Pipeline([("pca", PCA()), ("ridge", Ridge())]),
            {"ridge__alpha": Float(0.1, 1.0)},
            n_trials=2,
            cv=2,
            error_score="raise",
        ),
    ],
    # scikit-learn expects the same failure of GridSearchCV.
    expected_failed_checks=lambda search: (
        {"check_supervised_y_2d": "DataConversionWarning not caught"} if is_regressor(search) else {}
    ),
)
@pytest.mark.filterwarnings("default")
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def test_a_step_is_chosen_with_parameters_of_its_own():
    space = {
        "svc__C": Float(1e-2, 1e2, log=True),
        "scale": {"choice": ["passthrough", StandardScaler(), "sklearn.preprocessing:MinMaxScaler"]},
        "reduce": ["passthrough", PCA()],
        "reduce__n_components": {"int": [2, 10], "when": {"reduce": "PCA()"}},
    }
    search = TunerSearchCV(PIPELINE, space, n_trials=24, cv=2, random_state=0).fit(X, Y)
    for params in search.cv_results_["params"]:
        assert ("reduce__n_components" in params) == isinstance(params["reduce"], PCA)
    assert {type(params["scale"]) for params in search.cv_results_["params"]} == {
        str,
        StandardScaler,
        MinMaxScaler,
    }
    column = search.cv_results_["param_reduce__n_components"]
    assert 0 < column.mask.sum() < 24
    assert type(search.best_estimator_["svc"]) is SVC


def test_a_condition_may_name_the_object_itself():
    reduce = PCA()
    space = {
        "reduce": {"choice": ["passthrough", reduce]},
        "reduce__n_components": {"choice": [2, 3], "when": {"reduce": reduce}},
    }
    search = grid(space=space, cv=2).fit(X, Y)
    assert [len(params) for params in search.cv_results_["params"]].count(2) == 2


def test_distributions_of_scipy_are_ranges():
    space = {
        "svc__C": stats.loguniform(1e-2, 1e2),
        "svc__degree": stats.randint(2, 5),
        "svc__coef0": stats.uniform(1, 2),
    }
    search = TunerSearchCV(PIPELINE, space, n_trials=20, cv=2, random_state=3).fit(X, Y)
    params = search.cv_results_["params"]
    assert {each["svc__degree"] for each in params} == {2, 3, 4}
    assert all(1 <= each["svc__coef0"] <= 3 for each in params)
    assert search.report_.sweep["space"]["svc__C"] == {"float": [0.01, 100.0], "log": True}


def test_a_search_space_and_repeated_options_are_accepted():
    space = SearchSpace({"C": Float(0.5, 2.0, points=2), "kernel": {"choice": ["rbf", "linear"]}})
    assert len(grid(SVC(), space, cv=2).fit(X, Y).cv_results_["params"]) == 4
    repeated = {"C": np.array([1.0, 2.0, 1.0]), "class_weight": [None, {0: 1, 1: 2, 2: 1}, None]}
    assert len(grid(SVC(), repeated, cv=2).fit(X, Y).cv_results_["params"]) == 4


def test_the_number_of_candidates_is_ten_unless_something_limits_them():
    tree, space = DecisionTreeClassifier(random_state=0), {"min_impurity_decrease": Float(0.0, 0.1)}
    assert len(TunerSearchCV(tree, space, cv=2).fit(X, Y).cv_results_["params"]) == 10
    assert len(TunerSearchCV(tree, space, cv=2, budget={"trials": 3}).fit(X, Y).cv_results_["params"]) == 3
    assert len(TunerSearchCV(tree, space, cv=2, n_trials=4).fit(X, Y).cv_results_["params"]) == 4
    timed = TunerSearchCV(tree, space, cv=2, budget={"seconds": 0.3}).fit(X, Y)
    assert timed.report_.reason == "seconds"


@pytest.mark.parametrize("resource", ["folds", "n_samples"])
@pytest.mark.parametrize("scheduler", [kind for kind in SCHEDULERS if not SCHEDULERS[kind].reconfigures])
def test_every_scheduler_works_with_every_resource(scheduler, resource):
    space = {"C": Float(1e-4, 1e3, log=True), "kernel": ["linear", "rbf"]}
    arguments = {"n_trials": 15, "cv": 5, "random_state": 0, "scheduler": scheduler, "resource": resource}
    search = TunerSearchCV(SVC(), space, **arguments).fit(StandardScaler().fit_transform(X), Y)
    used = search.cv_results_["n_resources"]
    assert used[search.best_index_] == max(used)
    assert (scheduler == "fifo") == (len(set(used)) == 1)
    assert search.report_.counts()["failed"] == 0


@pytest.mark.parametrize("searcher", ["grid", "random", "sobol", "optuna", "hyperopt", "bayes", "evolution"])
def test_searchers_propose_lists_and_objects(searcher):
    space = {"svc__C": [0.1, 1.0], "reduce": ["passthrough", PCA(3)]}
    search = TunerSearchCV(PIPELINE, space, n_trials=6, cv=2, searcher=searcher, random_state=0).fit(X, Y)
    assert search.best_score_ > 0.9


def test_asha_stops_candidates_after_some_folds_and_ranks_them_behind():
    space = {"svc__C": Float(1e-3, 1e3, log=True)}
    search = TunerSearchCV(PIPELINE, space, n_trials=12, cv=5, scheduler="asha", random_state=0).fit(X, Y)
    results = search.cv_results_
    used = results["n_resources"]
    assert set(used) == {1, 3, 5}
    assert used[search.best_index_] == 5
    for row, folds in enumerate(used):
        scores = [results[f"split{split}_test_score"][row] for split in range(5)]
        assert np.isfinite(scores).tolist() == [split < folds for split in range(5)]
        assert results["mean_test_score"][row] == pytest.approx(np.mean(scores[:folds]))
    ranks = results["rank_test_score"]
    assert max(ranks[used == 5]) < min(ranks[used == 3]) <= max(ranks[used == 3]) < min(ranks[used == 1])


def test_better_candidates_get_more_rows():
    class Rows(ClassifierMixin, BaseEstimator):
        def __init__(self, quality=0.0):
            self.quality = quality

        def fit(self, features, targets):
            self.classes_, self.rows_ = np.unique(targets, return_counts=True)
            return self

        def score(self, features, targets):
            return self.quality + self.rows_.sum() / 1e6

    search = TunerSearchCV(
        Rows(),
        {"quality": Float(0.0, 1.0)},
        n_trials=20,
        cv=3,
        scheduler=Asha(reduction_factor=3),
        resource="n_samples",
        random_state=1,
    ).fit(X, Y)
    used = search.cv_results_["n_resources"]
    assert set(used) == {13, 39, 118}
    assert used[search.best_index_] == 118
    assert search.best_score_ == pytest.approx(search.best_params_["quality"] + 118 / 1e6, abs=1e-6)
    assert (used == 13).sum() > (used == 118).sum()


def test_a_parameter_can_be_the_resource():
    search = TunerSearchCV(
        RandomForestClassifier(random_state=0),
        {"max_depth": Int(1, 8)},
        n_trials=9,
        cv=2,
        scheduler="asha",
        resource="n_estimators",
        min_resources=2,
        max_resources=18,
        random_state=0,
    ).fit(X, Y)
    assert set(search.cv_results_["n_resources"]) == {2, 6, 18}
    assert search.best_params_["n_estimators"] == 18 == len(search.best_estimator_.estimators_)
    row = search.best_index_
    depth = search.best_params_["max_depth"]
    reference = GridSearchCV(
        RandomForestClassifier(18, random_state=0, max_depth=depth), {"max_depth": [depth]}, cv=2
    ).fit(X, Y)
    assert search.cv_results_["mean_test_score"][row] == reference.best_score_


def test_a_callable_selects_the_best_and_scorers_may_be_one_function():
    def both(estimator, features, targets):
        predicted = estimator.predict(features)
        return {
            "accuracy": accuracy_score(targets, predicted),
            "f1": f1_score(targets, predicted, average="macro"),
        }

    search = grid(cv=2, scoring=both, refit=lambda results: int(results["mean_test_f1"].argmin())).fit(X, Y)
    assert search.best_index_ == search.cv_results_["mean_test_f1"].argmin()
    assert not hasattr(search, "best_score_")
    assert search.multimetric_
    kept = grid(cv=2, scoring=both, refit=False).fit(X, Y)
    assert not hasattr(kept, "best_params_")
    assert not hasattr(kept, "predict")


class Fragile(ClassifierMixin, BaseEstimator):
    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, features, targets):
        if self.depth == 2:
            raise RuntimeError("too deep")
        self.classes_ = np.unique(targets)
        return self

    def predict(self, features):
        return np.full(len(features), self.classes_[1])


def test_a_failed_fit_is_no_score_a_given_score_or_an_error():
    search = grid(Fragile(), {"depth": [1, 2]}, cv=2)
    with pytest.warns(FitFailedWarning, match=r"1 of 2 candidates failed[^$]*RuntimeError: too deep"):
        search.fit(X, Y)
    assert search.best_params_ == {"depth": 1}
    assert np.isnan(search.cv_results_["mean_test_score"][1])
    assert search.cv_results_["rank_test_score"].tolist() == [1, 2]
    with pytest.warns(FitFailedWarning, match=r"2 fits failed and have the score 0"):
        clone(search).set_params(error_score=0).fit(X, Y)
    with pytest.raises(RuntimeError, match=r"^too deep$"):
        clone(search).set_params(error_score="raise").fit(X, Y)
    with pytest.raises(ValueError, match=r"^All the 1 candidates failed[^$]*too deep"):
        clone(search).set_params(space={"depth": [2]}).fit(X, Y)


def test_a_seed_repeats_the_search_and_none_draws_another():
    space = {"svc__C": Float(1e-2, 1e2)}

    def drawn(random_state):
        search = TunerSearchCV(PIPELINE, space, n_trials=3, cv=2, random_state=random_state, searcher="sobol")
        return [params["svc__C"] for params in search.fit(X, Y).cv_results_["params"]]

    assert drawn(4) == drawn(4) == drawn(np.random.RandomState(4)) != drawn(5)
    assert drawn(None) != drawn(None)


def test_it_is_cloned_configured_and_pickled_as_an_estimator():
    search = grid(cv=2).set_params(estimator__svc__kernel="linear", scoring="f1_macro")
    copy = clone(search)
    assert copy.estimator is not search.estimator
    assert copy.estimator["svc"].kernel == "linear"
    fitted = pickle.loads(pickle.dumps(copy.fit(X, Y)))
    assert (fitted.predict(X) == copy.predict(X)).all()
    assert fitted.report_.counts() == copy.report_.counts()
    inside = Pipeline([("scale", StandardScaler()), ("search", grid(SVC(), {"C": [1, 2]}, cv=2))])
    assert inside.fit(X, Y).score(X, Y) > 0.9


def test_results_are_kept_where_out_says(tmp_path):
    search = grid(cv=2, out=str(tmp_path))
    search.fit(X, Y)
    search.fit(X, Y)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["search", "search-2"]
    report = Report.read(tmp_path / "search")
    values = [trial.curve[-1][1] for trial in report.trials]
    assert values == search.cv_results_["mean_test_score"].tolist()
    assert {trial.config["reduce"] for trial in report.trials} == {"passthrough", "PCA(n_components=2)"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": [{"C": [1]}]}, "space: must be a mapping of the estimator's parameters to what to search"),
        ({"space": {"CC": [1]}}, "space: Invalid parameter 'CC' for estimator SVC()"),
        ({"space": {"C": {"floot": [1, 2]}}}, "space.C: unknown key 'floot'; did you mean 'float'?"),
        ({"space": {"C": stats.norm()}}, "space.C: must be uniform, loguniform or randint of scipy.stats"),
        ({"scheduler": "asah"}, "scheduler: unknown scheduler 'asah'; did you mean 'asha'?"),
        (
            {"scheduler": {"kind": "asha", "resource": "seconds"}},
            "scheduler.resource: must be left out; set resource and max_resources of the search",
        ),
        (
            {"scheduler": {"kind": "pbt", "mutations": {"C": {"factors": [0.5, 2]}}}},
            "scheduler: ",
        ),
        ({"searcher": "optona"}, "searcher: unknown searcher 'optona'; did you mean 'optuna'?"),
        ({"resource": "degrees"}, "scheduler.resource: must be folds, n_samples or a parameter of the"),
        ({"resource": "degree"}, "scheduler.max_resources: must be given: the 'degree' of a candidate"),
        ({"max_resources": 3}, "scheduler.max_resources: must be left out if the resource is folds, got 3"),
        ({"budget": {"trails": 3}}, "budget: unknown key 'trails'; did you mean 'trials'?"),
        ({"budget": {"iterations": 3}}, "budget.iterations: must be left out"),
        ({"n_jobs": 0}, "budget.concurrent: n_jobs must be -1 or at least 1, got 0"),
        ({"n_trials": 3, "budget": {"trials": 3}}, "budget.trials: must be left out if n_trials is given"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_runs(arguments, message):
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        TunerSearchCV(SVC(), **{"space": {"C": Float(0.1, 1.0)}, **arguments}).fit(X, Y)


def test_a_search_in_this_process_does_not_import_ray():
    code = (
        "import sys; from sklearn.svm import SVC; from sklearn.datasets import load_iris; import tuner\n"
        "tuner.TunerSearchCV(SVC(), {'C': [1, 2]}, cv=2).fit(*load_iris(return_X_y=True))\n"
        "print([name for name in ('ray', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
