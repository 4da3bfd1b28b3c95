"""Columns that are neither features nor the target: weights, groups, and the order in time."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GroupKFold, TimeSeriesSplit

from trainables.configs import DataSettings
from trainables.data import sources, splits
from trainables.models.mlp import MLP
from trainables.sklearn import Estimator

LOGISTIC = "sklearn.linear_model:LogisticRegression"


@pytest.fixture
def frame():
    """Return 60 rows of three kinds, with a weight, a patient and a day each."""
    rng = np.random.default_rng(0)
    kinds = np.tile(["a", "b", "c"], 20)
    return pd.DataFrame(
        {
            "size": rng.normal(size=60) + (kinds == "b"),
            "weight": rng.uniform(0.1, 3, size=60),
            "patient": np.repeat([f"p{number}" for number in range(12)], 5),
            "day": pd.date_range("2026-01-01", periods=60).to_numpy()[rng.permutation(60)],
            "kind": kinds,
        }
    )


@pytest.fixture
def start(tmp_path, monkeypatch, frame):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))

    def start(cls=Estimator, *, without=(), **config):
        frame.drop(columns=[*without]).to_parquet(tmp_path / "rows.parquet")
        return cls(config={"path": str(tmp_path / "rows.parquet"), "target": "kind", **config})

    return start


def numbers(trial, part):
    return trial.source.table.numbers[part.rows]


@pytest.mark.parametrize("iteration", ["fit", "partial_fit", "samples", "folds"])
def test_weights_reach_fits_and_metrics(start, frame, iteration):
    path = "sklearn.linear_model:SGDClassifier" if iteration == "partial_fit" else LOGISTIC
    settings = {"estimator": path, "iteration": iteration, "steps": 1, "metrics": ["log_loss"]}
    if iteration == "partial_fit":
        settings["loss"] = "log_loss"
    trial = start(**settings, sample_weight="weight", group_by="patient", without=["day"])
    result = trial.train()
    if iteration == "folds":
        parts = splits.folds(trial.source, trial.settings, sweep_seed=0, count=5)[0]
        training, validation = parts.training, parts.validation
    else:
        training, validation = trial.dataset.training.rows, trial.dataset.validation.rows
    x, y, w = trial.source.table.numbers, trial.source.targets, frame["weight"].to_numpy()
    assert trial.source.table.columns.names == ("size",)
    if iteration == "partial_fit":
        reference = SGDClassifier(loss="log_loss", random_state=trial._made.random_state)
        order = np.random.default_rng([0, 1]).permutation(len(training))
        reference.partial_fit(
            x[training[order]], y[training[order]], [0, 1, 2], sample_weight=w[training[order]]
        )
    else:
        reference = LogisticRegression(random_state=trial._made.random_state)
        reference.fit(x[training], y[training], sample_weight=w[training])
    predicted = reference.predict(x[validation])
    assert result["val_accuracy"] == pytest.approx(
        accuracy_score(y[validation], predicted, sample_weight=w[validation])
    )
    assert result["val_log_loss"] == pytest.approx(
        log_loss(y[validation], reference.predict_proba(x[validation]), sample_weight=w[validation]), rel=1e-3
    )


def test_rows_of_a_group_stay_in_one_part(start, frame):
    given = {"group_by": "patient", "without": ["day", "weight"], "estimator": LOGISTIC, "iteration": "folds"}
    trial = start(**given)
    parts = trial.dataset.training.rows, trial.dataset.validation.rows, trial.dataset.test_rows
    found = [set(frame["patient"].iloc[rows]) for rows in parts]
    assert [len(patients) for patients in found] == [7, 3, 2]
    assert len(set.union(*found)) == 12
    folds = splits.folds(trial.source, trial.settings, sweep_seed=0, count=5)
    patients = [set(frame["patient"].iloc[fold.validation]) for fold in folds]
    assert [len(each) for each in patients] == [2] * 5
    assert set.union(*patients) == found[0] | found[1]
    groups = trial.source.table.roles["group_by"]
    theirs = GroupKFold(5).split(np.empty(len(groups)), groups=groups)
    assert len(list(theirs)) == len(folds)
    other = start(**given, division=1)
    assert set(other.dataset.test_rows) == set(trial.dataset.test_rows)
    assert set(other.dataset.validation.rows) != set(trial.dataset.validation.rows)


@pytest.mark.parametrize("cls", [Estimator, MLP])
def test_rows_are_divided_in_order_of_time(start, frame, cls):
    more = {"without": ["patient", "weight"], **({"estimator": LOGISTIC} if cls is Estimator else {})}
    trial = start(cls, time="day", **more)
    training, validation = trial.dataset.training.rows, trial.dataset.validation.rows
    days = frame["day"]
    assert (len(training), len(validation), len(trial.dataset.test_rows)) == (36, 12, 12)
    assert days.iloc[training].max() < days.iloc[validation].min()
    assert days.iloc[validation].max() < days.iloc[trial.dataset.test_rows].min()
    earlier = start(cls, time="day", division=2, **more)
    assert len(earlier.dataset.training) == 12
    assert days.iloc[earlier.dataset.validation.rows].max() < days.iloc[validation].min()
    assert set(earlier.dataset.test_rows) == set(trial.dataset.test_rows)
    with pytest.raises(ValueError, match=r"^division: must leave .*; must be at most 2, got 3$"):
        start(cls, time="day", division=3, **more)


def test_folds_in_order_of_time_are_those_of_time_series_split(start):
    without = ["patient", "weight", "day"]
    trial = start(estimator=LOGISTIC, time=True, iteration="folds", folds=4, without=without)
    ours = splits.folds(trial.source, trial.settings, sweep_seed=0, count=4)
    theirs = [*TimeSeriesSplit(4).split(np.arange(48))]
    assert [(part.training.tolist(), part.validation.tolist()) for part in ours] == [
        (train.tolist(), test.tolist()) for train, test in theirs
    ]
    assert [trial.train()["done"] for _ in range(4)] == [False, False, False, True]


def test_arrays_of_a_file_have_roles(tmp_path):
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "X": rng.normal(size=(30, 2)),
        "y": np.tile([0, 1], 15),
        "who": np.repeat(range(6), 5),
    }
    np.savez(tmp_path / "rows.npz", **arrays, when=-np.arange(30))
    path = str(tmp_path / "rows.npz")
    source = sources.load(DataSettings(path=path, group_by="who"))
    parts = splits.split(source, DataSettings(path=path, group_by="who"), sweep_seed=0)
    assert [len({*arrays["who"][rows]}) for rows in parts] == [4, 1, 1]
    given = DataSettings(path=path, time="when")
    assert splits.split(sources.load(given), given, sweep_seed=0).test.tolist() == [*range(6)]
    with pytest.raises(ValueError, match=r"^group_by: .* has no array 'whom'; did you mean 'who'\?$"):
        sources.load(DataSettings(path=path, group_by="whom"))
    with pytest.raises(
        ValueError, match=r"^time: array 'X' .* must have one value per row \(30\), got shape"
    ):
        sources.load(DataSettings(path=path, time="X"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_by": "patent"}, "group_by: '{path}' has no column 'patent'; did you mean 'patient'?"),
        ({"group_by": "kind"}, "group_by: 'kind' is already the target"),
        (
            {"group_by": "patient", "time": "patient"},
            "group_by: must be left out if the rows are divided",
        ),
        (
            {"group_by": "patient", "sample_weight": "patient"},
            "sample_weight: 'patient' is already the group_by",
        ),
        ({"sample_weight": "patient"}, "sample_weight: column 'patient' must hold numbers from 0, not all 0"),
        ({"time": "patient"}, "time: column 'patient' must hold numbers, or dates such as 2026-01-31: "),
        ({"group_by": "gap"}, "group_by: column 'gap' must have no missing values, got 1"),
        (
            {"sample_weight": "weight", "estimator": "sklearn.neighbors:KNeighborsClassifier"},
            "sample_weight: KNeighborsClassifier does not take weights of rows",
        ),
        ({"time": "sorted"}, "time: must leave training rows of every class, got none of 'c'"),
        ({"group_by": "few"}, "group_by: must be at least 3 to divide, got 2"),
    ],
    ids=str,
)
def test_a_wrong_role_is_refused(start, frame, tmp_path, settings, message):
    frame["gap"] = [None, *range(59)]
    frame["few"] = np.repeat([0, 1], 30)
    frame["sorted"] = frame["kind"].map({"a": 0, "b": 1, "c": 2})
    message = message.format(path=tmp_path / "rows.parquet")
    kept = {"size", "kind", *(value for value in settings.values() if value in frame)}
    without = [name for name in frame if name not in kept and name != "patient"]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        start(without=without, **{"estimator": LOGISTIC, **settings})


def test_a_bundled_data_set_has_no_roles():
    with pytest.raises(ValueError, match=r"group_by: data set 'wine' has no such column, got 'alcohol'"):
        DataSettings(dataset="wine", group_by="alcohol")
