"""Data sets: reading, splitting, scaling, and the messages about what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainables.configs import BUNDLED, DataSettings, PreprocessingConfig
from trainables.data.row_cache import RowCache
from trainables.models.mlp import MLP


def load(sweep_seed=0, preprocessing=None, cache=None, **parts):
    settings, cache = DataSettings(**parts), cache or RowCache()
    config = PreprocessingConfig(**preprocessing or {})
    return cache.prepared(cache.load(settings), settings, config, sweep_seed=sweep_seed)


@pytest.fixture
def csv(tmp_path, flowers):
    path = tmp_path / "flowers.csv"
    flowers.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("dataset", BUNDLED)
def test_every_row_is_in_exactly_one_part(dataset):
    loaded = load(dataset=dataset)
    rows = np.concatenate([loaded.training.rows, loaded.validation.rows, loaded.test.rows])
    assert sorted(rows.tolist()) == list(range(len(rows)))


@pytest.mark.parametrize("dataset", ["digits", "breast_cancer", "wine", "iris"])
def test_every_class_has_its_share_of_every_part(dataset):
    loaded = load(dataset=dataset, validation=0.25, test=0.1)
    parts = (loaded.training, loaded.validation, loaded.test)
    counts = np.array([np.bincount(part.targets, minlength=loaded.classes) for part in parts])
    expected = np.outer([0.65, 0.25, 0.1], counts.sum(axis=0))
    assert np.abs(counts - expected).max() <= 1


def test_parts_of_a_regression_have_the_requested_sizes():
    loaded = load(dataset="diabetes", validation=0.3, test=0.1)
    assert [len(part) for part in (loaded.training, loaded.validation, loaded.test)] == [265, 133, 44]


def test_the_test_part_may_be_empty():
    loaded = load(dataset="wine", test=0)
    assert len(loaded.test) == 0
    assert len(loaded.training) + len(loaded.validation) == 178


def test_the_sweep_seed_fixes_the_split_and_the_trial_seed_does_not(trial):
    one, other = (trial(sweep_seed=4, seed=seed).dataset for seed in (1, 2))
    assert one is other
    assert load(dataset="wine", sweep_seed=4).training.rows.tolist() == one.training.rows.tolist()
    assert load(dataset="wine", sweep_seed=5).training.rows.tolist() != one.training.rows.tolist()


@pytest.mark.parametrize("dataset", ["wine", "diabetes"])
def test_features_are_standardised_on_the_training_rows_only(dataset):
    loaded = load(dataset=dataset, precision="float64")
    assert loaded.training.features.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert loaded.training.features.std(axis=0) == pytest.approx(1)
    assert np.abs(loaded.validation.features.mean(axis=0)).max() > 0.01


def test_a_regression_target_is_standardised_on_the_training_rows():
    loaded = load(dataset="diabetes", precision="float64")
    assert (loaded.training.targets.mean(), loaded.training.targets.std()) == pytest.approx((0, 1))
    raw = loaded.validation.targets * loaded.target.scale + loaded.target.mean
    assert raw == pytest.approx(np.round(raw))  # the targets of diabetes are whole numbers
    assert raw.min() >= 25


def test_arrays_are_read_only():
    loaded = load(dataset="wine")
    with pytest.raises(ValueError, match="read-only"):
        loaded.training.features[0, 0] = 0
    with pytest.raises(ValueError, match="read-only"):
        loaded.training.targets[0] = 0


def test_a_constant_column_is_centred_and_not_divided_by_zero(tmp_path, flowers):
    flowers.assign(constant=0.1).to_csv(tmp_path / "c.csv", index=False)
    loaded = load(path=str(tmp_path / "c.csv"), target="species")
    assert np.abs(loaded.training.features[:, loaded.feature_names.index("constant")]).max() < 1e-6


def test_text_columns_are_one_hot_encoded_and_text_targets_numbered(csv):
    loaded = load(path=str(csv), target="species")
    assert loaded.feature_names == ("length", "width", "colour=red", "colour=white")
    assert loaded.class_names == ("lily", "rose", "tulip")
    assert (loaded.features, loaded.classes, loaded.outputs) == (4, 3, 3)
    red = loaded.training.features[:, 2] > 0
    assert red.tolist() == (loaded.training.rows % 2 == 0).tolist()
    assert loaded.training.targets.tolist() == [[1, 2, 0][row // 20] for row in loaded.training.rows]


def test_csv_parquet_and_npz_give_the_same_trial(trial, tmp_path, flowers, after):
    numbers = flowers[["length", "width", "species"]]
    numbers.to_csv(tmp_path / "f.csv", index=False)
    numbers.to_parquet(tmp_path / "f.parquet")
    text = numbers["species"].to_numpy(dtype=object).astype(str)
    np.savez(tmp_path / "f.npz", X=numbers[["length", "width"]].to_numpy(), y=text)
    sources = [{"path": "f.csv", "target": "species"}, {"path": "f.parquet", "target": "species"}]
    results = [
        after(trial(**{**source, "path": str(tmp_path / source["path"]), "lr": 0.05, "batch_size": 8}), 10)
        for source in [*sources, {"path": "f.npz"}]
    ]
    assert results[0] == results[1] == results[2]
    assert results[0]["val_accuracy"] > 0.8


def test_categories_booleans_and_nullable_numbers_of_parquet_are_read(tmp_path, flowers):
    frame = flowers.assign(
        colour=flowers["colour"].astype("category"),
        big=flowers["length"] > 4,
        count=pd.array(range(60), dtype="Int64"),
    )
    frame.to_parquet(tmp_path / "f.parquet")
    loaded = load(path=str(tmp_path / "f.parquet"), target="big")
    assert loaded.task == "classification"
    assert loaded.class_names == ("False", "True")
    assert "count" in loaded.feature_names
    assert "colour=white" in loaded.feature_names


def test_images_of_an_npz_file_keep_their_shape(tmp_path):
    np.savez(
        tmp_path / "i.npz", images=np.arange(10 * 12, dtype=np.uint8).reshape(10, 3, 4), kinds=[0, 1] * 5
    )
    loaded = load(path=str(tmp_path / "i.npz"), features="images", target="kinds")
    assert (loaded.shape, loaded.features, loaded.classes) == ((3, 4), 12, 2)
    assert loaded.feature_names[5] == "images[1,1]"


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (np.arange(60) % 20, "classification"),
        (np.arange(60), "regression"),
        (np.arange(60) % 2 == 0, "classification"),
        (np.arange(60) % 2 / 1.0, "regression"),
        (np.array(["a", "b"] * 30), "classification"),
    ],
    ids=["few integers", "many integers", "booleans", "floats", "text"],
)
def test_the_task_is_inferred_from_the_target(tmp_path, values, task):
    np.savez(tmp_path / "t.npz", X=np.eye(60), y=values)
    assert load(path=str(tmp_path / "t.npz")).task == task


def test_the_task_can_be_given(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.eye(60), y=np.arange(60) % 3)
    assert load(path=str(tmp_path / "t.npz"), task="regression").classes == 0


def test_a_changed_file_is_read_again(csv, flowers):
    cache = RowCache()
    before = load(path=str(csv), target="species", cache=cache)
    assert load(path=str(csv), target="species", cache=cache) is before
    flowers.iloc[:-1].to_csv(csv, index=False)
    after = load(path=str(csv), target="species", cache=cache)
    assert len(after.training.rows) == len(before.training.rows) - 1


def test_a_relative_path_starts_in_the_folder_where_the_sweep_was_started(csv, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(csv.parent)
    on_the_driver = load(path="flowers.csv", target="species")
    monkeypatch.chdir(tmp_path_factory.mktemp("trial"))
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(csv.parent))
    in_the_worker = load(path="flowers.csv", target="species")
    assert in_the_worker.training.rows.tolist() == on_the_driver.training.rows.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "digit"}, "dataset: unknown data set 'digit'; did you mean 'digits'?"),
        ({}, "dataset: exactly one of dataset and path must be given, got neither"),
        (
            {"dataset": "iris", "path": "x.csv"},
            "dataset: exactly one of dataset and path must be given, got both",
        ),
        ({"datset": "iris"}, "trainable: unknown key 'datset'; did you mean 'dataset'?"),
        ({"dataset": "iris", "target": "x"}, "target: data set 'iris' has its own; remove it, got 'x'"),
        ({"path": "x.txt"}, "path: unknown kind of file; must end in .csv, .parquet or .npz, got 'x.txt'"),
        ({"path": "x.csv"}, "target: must name the column to predict, got nothing"),
        (
            {"path": "x.csv", "target": "y", "features": "X"},
            "features: only an NPZ file has feature arrays, got 'X'",
        ),
        ({"dataset": "iris", "validation": 0}, "validation: must be greater than 0, got 0"),
        (
            {"dataset": "iris", "validation": 0.5, "test": 0.5},
            "validation: validation + test must be below 1 to leave rows for training, got 0.5 + 0.5",
        ),
        (
            {"dataset": "iris", "task": "regression"},
            "task: regression must have numbers to predict, got the target of text, categories or booleans",
        ),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_in_a_sentence(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MLP.metrics(settings)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (
            lambda f: f,
            {"path": "flower.csv"},
            "path: there is no file '{dir}/flower.csv'; did you mean 'flowers.csv'?",
        ),
        (
            lambda f: f,
            {"path": "no/f.csv"},
            "path: there is no file '{dir}/no/f.csv'; its directory '{dir}/no' does not exist",
        ),
        (
            lambda f: f,
            {"target": "specie"},
            "target: '{path}' has no column 'specie'; did you mean 'species'? Its columns are "
            "length, width, colour, species",
        ),
        (
            lambda f: f.assign(species=f["species"].where(f.index > 1)),
            {},
            "target: column 'species' of '{path}' must have no missing values, got 2",
        ),
        (
            lambda f: f.assign(width=f["width"].where(f.index > 1, np.inf)),
            {},
            "path: column 'width' of '{path}' must hold finite numbers, got 2 that are not",
        ),
        (
            lambda f: (
                f.assign(name=[f"n{i}" for i in f.index])
                .sample(300, replace=True, random_state=0)
                .assign(name=[f"n{i}" for i in range(300)])
            ),
            {},
            "path: column 'name' of '{path}' has too many distinct texts to one-hot encode; "
            "must have at most 256, got 300",
        ),
        (
            lambda f: f.assign(species=["daisy", "daisy", *f["species"][2:]]),
            {},
            "target: too few rows to split; training, validation and test need one row each of every class, "
            "got 2 of class 'daisy'",
        ),
        (
            lambda f: f.assign(species="rose"),
            {},
            "target: classification needs at least two classes, "
            "got column 'species' with 1 distinct value(s)",
        ),
        (
            lambda f: f[["species"]],
            {},
            "path: '{path}' must have a column besides the target 'species', got none",
        ),
        (lambda f: f[:0], {}, "path: '{path}' must have rows, got none"),
    ],
    ids=[
        "file",
        "directory",
        "column",
        "missing",
        "infinite",
        "identifiers",
        "rare class",
        "one class",
        "no features",
        "no rows",
    ],
)
def test_an_unusable_file_is_refused_in_a_sentence(tmp_path, flowers, change, settings, message):
    path = tmp_path / "flowers.csv"
    change(flowers).to_csv(path, index=False)
    settings = {"target": "species", **settings, "path": str(tmp_path / settings.get("path", "flowers.csv"))}
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=path, dir=tmp_path))}$"):
        MLP.metrics(settings)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"X": np.eye(9), "labels": np.arange(9)},
            "target: '{path}' has no array 'y'; must be one of X, labels",
        ),
        (
            {"X": np.eye(9), "y": np.arange(8)},
            "target: array 'y' of '{path}' must have as many rows as 'X', got 8 and 9",
        ),
        (
            {"X": np.arange(9), "y": np.arange(9)},
            "features: array 'X' of '{path}' must be n x d numbers, got int64 of shape (9,)",
        ),
        (
            {"X": np.eye(9), "y": np.eye(9)},
            "target: array 'y' of '{path}' must be n numbers or texts, got float64 of shape (9, 9)",
        ),
        (
            {"X": np.eye(2), "y": np.array([0.5, 1.5])},
            "target: too few rows to split; training, validation and test need one row each, "
            "got 2 of the data",
        ),
    ],
    ids=["name", "lengths", "flat features", "square target", "too short"],
)
def test_unusable_arrays_are_refused_in_a_sentence(tmp_path: Path, arrays, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=path))}$"):
        MLP.metrics({"path": str(path)})


@pytest.mark.parametrize("name", ["broken.csv", "broken.parquet", "broken.npz"])
def test_a_broken_file_is_refused_by_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(ValueError, match=f"^path: '.*{name}' cannot be read: "):
        MLP.metrics({"path": str(tmp_path / name), "target": "y"})


def test_an_npz_file_with_pickled_objects_is_refused_unread(tmp_path):
    np.savez(tmp_path / "o.npz", X=np.eye(9), y=np.array([object()] * 9, dtype=object))
    with pytest.raises(ValueError, match="cannot be read: Object arrays cannot be loaded"):
        MLP.metrics({"path": str(tmp_path / "o.npz")})


def test_the_recipe_imports_no_heavy_library():
    heavy = "{'torch', 'ray', 'sklearn', 'pandas', 'numpy'}"
    program = f"import sys, trainables.configs; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
