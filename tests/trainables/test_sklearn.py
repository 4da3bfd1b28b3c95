"""The ``sklearn`` trainable against scikit-learn itself, and the messages about what it refuses."""

import json
import re

import numpy as np
import pytest
from sklearn import metrics
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trainables.sklearn import Estimator

PIPELINE = {"scale": "sklearn.preprocessing:StandardScaler", "svc": "sklearn.svm:SVC"}
PREPARED = make_pipeline(StandardScaler(), LogisticRegression())


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    return lambda **config: Estimator(config={"dataset": "wine", **config})


def rows(trial):
    """Return raw training and validation rows with their targets."""
    table, targets = trial.source.table.numbers, trial.source.targets
    training, validation = trial.dataset.training.rows, trial.dataset.validation.rows
    return table[training], targets[training], table[validation], targets[validation]


def seed_of(trial):
    [seed] = {
        value
        for name, value in trial._made.get_params(deep=True).items()
        if name.endswith("random_state") and isinstance(value, int)
    }
    return seed


def test_a_pipeline_is_fitted_as_scikit_learn_does(start):
    trial = start(estimator=PIPELINE, svc__C=3.0, svc__gamma=0.05, metrics=["macro_f1", "balanced_accuracy"])
    result = trial.train()
    x, y, others, expected = rows(trial)
    reference = Pipeline([("scale", StandardScaler()), ("svc", SVC(C=3.0, gamma=0.05))]).fit(x, y)
    predicted = reference.predict(others)
    assert result["val_accuracy"] == metrics.accuracy_score(expected, predicted)
    assert result["val_macro_f1"] == metrics.f1_score(expected, predicted, average="macro")
    assert result["val_balanced_accuracy"] == metrics.balanced_accuracy_score(expected, predicted)
    assert result["done"] is True


@pytest.mark.parametrize(
    "path", ["sklearn.linear_model.LogisticRegression", f"{__name__}:PREPARED", f"{__name__}:made"]
)
def test_an_estimator_can_be_a_class_an_instance_or_the_result_of_a_function(start, path):
    assert 0.5 < start(estimator=path, scaling="standard").train()["val_accuracy"] <= 1


def made():
    return LogisticRegression(C=0.5)


def test_scores_of_probabilities_match_scikit_learn(start):
    trial = start(
        estimator="sklearn.ensemble:RandomForestClassifier", n_estimators=7, metrics=["log_loss", "roc_auc"]
    )
    result = trial.train()
    x, y, others, expected = rows(trial)
    forest = RandomForestClassifier(7, random_state=seed_of(trial)).fit(x, y)
    scores = forest.predict_proba(others)
    assert result["val_log_loss"] == metrics.log_loss(expected, scores)
    assert result["val_roc_auc"] == metrics.roc_auc_score(expected, scores, multi_class="ovr")


def test_a_regression_is_fitted_and_scored_in_units_of_the_target(start):
    trial = start(
        dataset="diabetes",
        estimator="sklearn.ensemble:GradientBoostingRegressor",
        n_estimators=5,
        metrics=["mae", "r2"],
    )
    result = trial.train()
    x, y, others, expected = rows(trial)
    predicted = (
        GradientBoostingRegressor(n_estimators=5, random_state=seed_of(trial)).fit(x, y).predict(others)
    )
    assert result["val_rmse"] == pytest.approx(metrics.root_mean_squared_error(expected, predicted))
    assert result["val_mae"] == pytest.approx(metrics.mean_absolute_error(expected, predicted))
    assert result["val_r2"] == pytest.approx(metrics.r2_score(expected, predicted))


def test_a_warm_start_equals_one_fit_of_the_final_size(start):
    trial = start(
        estimator="sklearn.ensemble:RandomForestClassifier",
        iteration="warm_start",
        grows="n_estimators",
        growth=3,
        metrics=["log_loss"],
    )
    curve = [trial.train() for _ in range(4)]
    x, y, others, expected = rows(trial)
    for iteration, result in enumerate(curve, start=1):
        forest = RandomForestClassifier(3 * iteration, random_state=seed_of(trial)).fit(x, y)
        assert result["val_log_loss"] == pytest.approx(
            metrics.log_loss(expected, forest.predict_proba(others))
        )
        assert result["done"] is False


def test_partial_fit_sees_every_training_row_once_per_iteration_in_the_trials_order(start):
    trial = start(
        estimator="sklearn.linear_model:SGDClassifier",
        iteration="partial_fit",
        batch_rows=40,
        scaling="standard",
        seed=4,
    )
    result = [trial.train() for _ in range(3)][-1]
    x, y, others, expected = rows(trial)
    scaler = StandardScaler().fit(x)
    reference = SGDClassifier(random_state=seed_of(trial))
    for iteration in (1, 2, 3):
        order = np.random.default_rng([4, iteration]).permutation(len(y))
        for begin in range(0, len(order), 40):
            batch = order[begin : begin + 40]
            reference.partial_fit(scaler.transform(x[batch]), y[batch], classes=[0, 1, 2])
    assert result["val_accuracy"] == reference.score(scaler.transform(others), expected)


def test_samples_grow_in_equal_steps_with_the_class_proportions(start):
    trial = start(estimator="sklearn.svm:SVC", iteration="samples", steps=4)
    order = trial._in_order(trial.source.targets[trial.dataset.training.rows])
    targets = trial.source.targets[trial.dataset.training.rows]
    assert sorted(order.tolist()) == list(range(len(targets)))
    share = np.bincount(targets) / len(targets)
    for size in (9, 27, 53, 80):
        assert np.abs(np.bincount(targets[order[:size]]) - share * size).max() <= 1.5
    finished = [trial.train()["done"] for _ in range(4)]
    assert finished == [False, False, False, True]
    assert trial._fitting.last.n_features_in_ == 13


def test_folds_report_the_running_mean_and_each_has_its_own_preprocessing(start):
    trial = start(
        estimator="sklearn.svm:SVC", iteration="folds", folds=4, scaling="standard", sweep_seed=2, C=0.7
    )
    curve = [trial.train() for _ in range(4)]
    from trainables.data import splits

    folds = splits.folds(trial.source, trial.settings, sweep_seed=2, count=4)
    x, y = trial.source.table.numbers, trial.source.targets
    scores = [
        make_pipeline(StandardScaler(), SVC(C=0.7))
        .fit(x[fold.training], y[fold.training])
        .score(x[fold.validation], y[fold.validation])
        for fold in folds
    ]
    assert len(set(scores)) > 1
    means = [np.mean(scores[: number + 1]) for number in range(4)]
    assert [result["val_accuracy"] for result in curve] == pytest.approx(means)
    assert [result["done"] for result in curve] == [False, False, False, True]
    whole = set(trial.dataset.training.rows) | set(trial.dataset.validation.rows)
    assert sorted(np.concatenate([fold.validation for fold in folds])) == sorted(whole)
    counts = [np.bincount(y[fold.validation], minlength=3) for fold in folds]
    assert np.ptp(counts, axis=0).max() <= 1


@pytest.mark.parametrize(
    "parts",
    [
        {"iteration": "fit"},
        {"iteration": "folds"},
        {"iteration": "warm_start", "grows": "n_estimators", "growth": 4},
    ],
    ids=lambda parts: parts["iteration"],
)
def test_the_final_fit_leaves_out_the_test_rows_and_is_scored_on_them(start, parts):
    settings = {"dataset": "wine", "estimator": "sklearn.ensemble:RandomForestClassifier", **parts}
    search = start(**settings, sweep_seed=3)
    final, metric = Estimator.final(settings, sweep_seed=3, iterations=2, metric="val_accuracy")
    trial = start(**final, n_estimators=8, sweep_seed=9)
    result = trial.train()
    x, y, _, _ = rows(trial)
    test = search.dataset.test_rows
    assert len(y) + len(test) == len(search.source)
    forest = RandomForestClassifier(8, random_state=seed_of(trial)).fit(x, y)
    expected = forest.score(search.source.table.numbers[test], search.source.targets[test])
    assert (metric, result[metric]) == ("test_accuracy", expected)


def test_a_checkpoint_is_json_and_refuses_other_rows(start, tmp_path):
    trial = start(estimator="sklearn.linear_model:SGDClassifier", iteration="partial_fit")
    trial.train()
    saved = trial.save(str(tmp_path / "saved"))
    [file] = (tmp_path / "saved").iterdir()
    assert json.loads(file.read_text())["fits"] == 1
    other = start(estimator="sklearn.linear_model:SGDClassifier", iteration="partial_fit", sweep_seed=5)
    with pytest.raises(ValueError, match=r"^checkpoint: has other rows; must have .* 5}, got .* 0}$"):
        other.restore(saved)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"estimator": "SVC"}, "estimator: must be an import path such as sklearn.svm:SVC, got 'SVC'"),
        ({"estimator": "sklearn.svm:SVX"}, "estimator: 'sklearn.svm' has no 'SVX'; did you mean 'SV"),
        (
            {"estimator": "sklearn.smv:SVC"},
            "estimator: 'sklearn.smv' of 'sklearn.smv:SVC' cannot be imported: ",
        ),
        (
            {"estimator": "json:JSONEncoder"},
            "estimator: 'json:JSONEncoder' must be or return an estimator, got JSONEncoder",
        ),
        (
            {"estimator": "sklearn.svm:SVR"},
            "estimator: must be a classifier for this target, got the regressor SVR",
        ),
        ({"Cc": 1.0}, "Cc: SVC has no such parameter; did you mean 'C'?"),
        (
            {"estimator": PIPELINE, "svc__gama": 1.0},
            "svc__gama: Pipeline has no such parameter; did you mean 'svc__gamma'?",
        ),
        (
            {"iteration": "partial_fit"},
            "iteration: must not be 'partial_fit': SVC has no such method",
        ),
        (
            {"iteration": "warm_start", "grows": "C"},
            "iteration: must not be 'warm_start': SVC has no such parameter",
        ),
        (
            {
                "estimator": "sklearn.ensemble:RandomForestClassifier",
                "iteration": "warm_start",
                "grows": "n_estimator",
            },
            "grows: RandomForestClassifier has no parameter 'n_estimator'; did you mean 'n_estimators'?",
        ),
        (
            {"iteration": "warm_start"},
            "grows: must name the parameter that grows if iteration is warm_start",
        ),
        (
            {"estimator": "sklearn.svm:LinearSVC", "metrics": ["log_loss"]},
            "metrics: 'log_loss' needs predict_proba, which LinearSVC does not have",
        ),
    ],
    ids=str,
)
def test_an_impossible_fit_is_refused_before_anything_runs(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Estimator.check({"dataset": "wine", "estimator": "sklearn.svm:SVC", **config})
