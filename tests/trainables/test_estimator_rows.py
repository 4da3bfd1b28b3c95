"""The input of an estimator: data frames, missing values, its own parameters, and classes from files."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trainables.sklearn import Estimator

BY_NAME = make_pipeline(
    make_column_transformer((StandardScaler(), ["length", "width"]), (OneHotEncoder(), ["colour"])),
    LogisticRegression(),
)
OF_WINE = make_pipeline(
    make_column_transformer((StandardScaler(), ["alcohol", "proline"])), LogisticRegression()
)
IMPUTING = {
    "fill": "sklearn.impute:SimpleImputer",
    "scale": "sklearn.preprocessing:StandardScaler",
    "svc": "sklearn.svm:SVC",
}


class Recorder(ClassifierMixin, BaseEstimator):
    """An estimator that keeps the rows it was fitted to."""

    def fit(self, rows, targets):
        self.rows_, self.classes_ = rows, np.unique(targets)
        return self

    def predict(self, rows):
        return np.full(len(rows), self.classes_[0])


class Keywords(ClassifierMixin, BaseEstimator):
    """An estimator that accepts any parameter, as the wrappers of LightGBM and skorch do."""

    def __init__(self, depth=1, **further):
        self.depth = depth
        self.further = further

    @classmethod
    def _get_param_names(cls):
        return ["depth"]

    def get_params(self, deep=True):
        return {"depth": self.depth, **self.further}

    def set_params(self, **parameters):
        self.depth = parameters.pop("depth", self.depth)
        self.further = {**self.further, **parameters}
        return self

    def fit(self, rows, targets):
        self.classes_ = np.unique(targets)
        return self

    def predict(self, rows):
        return np.full(len(rows), self.classes_[0])


@pytest.fixture
def start(tmp_path, monkeypatch, flowers):
    """Return a function that starts a trial over a file with the given frame."""
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))

    def start(frame=flowers, **config):
        if "dataset" not in config:
            frame.to_parquet(tmp_path / "rows.parquet")
            config = {"path": str(tmp_path / "rows.parquet"), "target": "species", **config}
        return Estimator(config=config)

    return start


def with_gaps(flowers):
    frame = flowers.copy()
    frame.loc[::7, "length"] = np.nan
    return frame


@pytest.mark.parametrize("iteration", ["fit", "folds", "samples"])
def test_columns_in_a_frame_have_their_names(start, iteration):
    result = start(estimator=f"{__name__}:BY_NAME", iteration=iteration).train()
    assert 0.3 < result["val_accuracy"] <= 1


def test_columns_of_a_bundled_data_set_have_their_names(start):
    assert start(dataset="wine", estimator=f"{__name__}:OF_WINE").train()["val_accuracy"] > 0.7


@pytest.mark.parametrize("columns", ["auto", "raw", "encoded", "array"])
def test_an_estimator_gets_the_columns_in_the_requested_form(start, flowers, columns):
    frame = flowers.assign(count=range(60), kind=flowers["colour"].astype("category"), on=[True, False] * 30)
    trial = start(frame, estimator=f"{__name__}:Recorder", columns=columns)
    trial.train()
    rows = trial._fitting.last.rows_
    if columns == "raw":
        expected = frame.drop(columns="species").iloc[trial.dataset.training.rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, expected)
    elif columns == "array":
        assert isinstance(rows, np.ndarray)
        assert rows.shape == (36, 8)
    else:
        assert list(rows.columns) == list(trial.dataset.feature_names)


def test_a_frame_of_numbers_stays_a_frame(start, flowers):
    trial = start(flowers.drop(columns="colour"), estimator=f"{__name__}:Recorder")
    trial.train()
    assert list(trial._fitting.last.rows_.columns) == ["length", "width"]


def test_preprocessing_keeps_raw_text_next_to_the_numbers(start, flowers):
    trial = start(estimator=f"{__name__}:Recorder", columns="raw", scaling="standard")
    trial.train()
    rows = trial._fitting.last.rows_
    assert list(rows.columns) == ["length", "width", "colour"]
    assert abs(rows["length"].mean()) < 1e-9
    assert set(rows["colour"]) == set(flowers["colour"])


@pytest.mark.parametrize("iteration", ["fit", "folds"])
@pytest.mark.parametrize(
    "estimator",
    ["sklearn.ensemble:HistGradientBoostingClassifier", "sklearn.tree:DecisionTreeClassifier"],
)
def test_missing_values_reach_estimators_that_support_them(start, flowers, estimator, iteration):
    trial = start(with_gaps(flowers), estimator=estimator, iteration=iteration)
    assert 0.3 <= trial.train()["val_accuracy"] <= 1


def test_the_estimator_sees_the_missing_values_themselves(start, flowers):
    frame = with_gaps(flowers).drop(columns="colour")
    trial = start(frame, estimator="sklearn.ensemble:HistGradientBoostingClassifier")
    result = trial.train()
    training, validation = (
        frame.iloc[part.rows] for part in (trial.dataset.training, trial.dataset.validation)
    )
    seed = trial._made.random_state
    reference = HistGradientBoostingClassifier(random_state=seed)
    reference.fit(training[["length", "width"]], training["species"])
    assert result["val_accuracy"] == reference.score(validation[["length", "width"]], validation["species"])


def test_a_pipeline_fills_missing_values_itself(start, flowers):
    frame = with_gaps(flowers).drop(columns="colour")
    assert start(frame, estimator=IMPUTING).train()["val_accuracy"] > 0.3


@pytest.mark.parametrize(
    "estimator", ["sklearn.svm:SVC", {"scale": IMPUTING["scale"], "svc": IMPUTING["svc"]}]
)
def test_missing_values_are_refused_for_estimators_without_support(start, flowers, estimator):
    with pytest.raises(
        ValueError, match=r"^missing: must be mean, .* got 'none' and gaps in 'length' \(9 rows"
    ):
        start(with_gaps(flowers), estimator=estimator)


def test_parameters_known_only_to_set_params_are_set(start):
    trial = start(dataset="wine", estimator=f"{__name__}:Keywords", depth=2, module__hidden=8, verbosity=-1)
    trial.train()
    assert trial._fitting.last.get_params() == {"depth": 2, "module__hidden": 8, "verbosity": -1}
    steps = {"scale": "sklearn.preprocessing:StandardScaler", "last": f"{__name__}:Keywords"}
    trial = start(dataset="wine", estimator=steps, last__verbosity=-1)
    assert trial._made[-1].further == {"verbosity": -1}


def test_a_misspelled_parameter_is_refused_even_if_any_name_is_accepted(start):
    message = "dept: Keywords has no such parameter; did you mean 'depth'?"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        start(dataset="wine", estimator=f"{__name__}:Keywords", dept=2)


MINE = """
from beside import BASE
from sklearn.tree import DecisionTreeClassifier


class Mine(DecisionTreeClassifier):
    pass


def made():
    return Mine(max_depth=BASE)
"""


@pytest.mark.parametrize("name", ["Mine", "made"])
def test_an_estimator_may_be_a_class_or_function_in_a_file(start, tmp_path, monkeypatch, name):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / f"mine_{name}.py").write_text(MINE)
    (tmp_path / "own" / "beside.py").write_text("BASE = 2")
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(tmp_path))
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    trial = start(dataset="wine", estimator=f"own/mine_{name}.py:{name}")
    assert trial.train()["val_accuracy"] > 0.6
    assert type(trial._made).__module__ == f"mine_{name}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "estimator: there is no file '"),
        ("1 / 0", "estimator: 'broken.py' of 'broken.py:Mine' cannot be imported: ZeroDivisionError: "),
        ("class Min: pass", "estimator: 'broken.py' has no 'Mine'; did you mean 'Min'?"),
    ],
    ids=["missing", "broken", "misspelled"],
)
def test_a_file_without_the_estimator_is_refused_with_the_reason(start, tmp_path, monkeypatch, text, message):
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(tmp_path))
    if text is not None:
        (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        start(dataset="wine", estimator="broken.py:Mine")


def test_a_list_becomes_a_tuple_if_the_default_is_a_tuple(start):
    scale = {"scale": "sklearn.preprocessing:MinMaxScaler", "net": "sklearn.neural_network:MLPClassifier"}
    given = {"scale__feature_range": [-1, 1], "net__hidden_layer_sizes": [4, 4], "net__max_iter": 500}
    trial = start(dataset="wine", estimator=scale, **given)
    assert trial._made[0].feature_range == (-1, 1)
    assert trial._made[1].hidden_layer_sizes == (4, 4)


@pytest.mark.parametrize(
    ("dataset", "weights", "expected"),
    [
        ("iris", {"setosa": 1, "virginica": 3}, {0: 1, 2: 3}),
        ("iris", {0: 1, 2: 3}, {0: 1, 2: 3}),
        ("iris", {"0": 1, "2": 3}, {0: 1, 2: 3}),
        ("breast_cancer", {0: 2, 1: 1}, {1: 2, 0: 1}),
        ("breast_cancer", {"malignant": 2, "benign": 1}, {1: 2, 0: 1}),
        ("iris", "balanced", "balanced"),
    ],
)
def test_class_weights_name_classes_or_their_values(start, dataset, weights, expected):
    tree = "sklearn.tree:DecisionTreeClassifier"
    trial = start(dataset=dataset, estimator=tree, class_weight=weights)
    assert trial._made.class_weight == expected
    assert trial.train()["val_accuracy"] > 0.5


def test_a_class_weight_of_an_unknown_class_is_refused(start):
    message = "class_weight: there is no class 'setos'; did you mean 'setosa'?"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        start(dataset="iris", estimator="sklearn.tree:DecisionTreeClassifier", class_weight={"setos": 1})


def test_a_sweep_file_can_give_tuples_and_class_weights(tmp_path):
    from tuner import Sweep

    (tmp_path / "s.yaml").write_text("""
trainable:
  kind: sklearn
  dataset: iris
  estimator: {scale: "sklearn.preprocessing:MinMaxScaler", svc: "sklearn.svm:SVC"}
space:
  scale__feature_range: {choice: [[0, 1], [-1, 1]]}
  svc__class_weight: {choice: [{0: 1, 1: 2, 2: 2}, {setosa: 2}, balanced]}
objective: {metric: val_accuracy, mode: max}
budget: {trials: 3, iterations: 1}
""")
    values = Sweep.read(tmp_path / "s.yaml").space.dimensions["svc__class_weight"].values()
    assert values == [{0: 1, 1: 2, 2: 2}, {"setosa": 2}, "balanced"]
