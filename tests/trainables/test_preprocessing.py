"""Each preprocessing step against scikit-learn or a NumPy formula, fitted on the training rows only."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from trainables.configs import DataSettings, MLPConfig, PreprocessingConfig, SplitSettings
from trainables.data import datasets, sources
from trainables.data.preprocessing import Preprocessing, relevant
from trainables.data.row_cache import RowCache
from trainables.models.mlp import MLP
from trainables.torch.export import load_model

SETTINGS = SplitSettings(precision="float64")


def table(rows=120):
    """Return correlated columns of very different units with outliers, a text column, and a target."""
    generator = np.random.default_rng(0)
    base = generator.normal(size=(rows, 3))
    numbers = base @ generator.normal(size=(3, 3)) * [1, 100, 1e-3] + [0, 50, 1]
    numbers[::29, 0] *= 30
    frame = pd.DataFrame(numbers, columns=["a", "b", "c"])
    frame["kind"] = generator.choice(["x", "y", "z"], size=rows, p=[0.2, 0.5, 0.3])
    target = np.where(base[:, 0] + generator.normal(scale=0.5, size=rows) > 0, "yes", "no")
    return frame, target


def with_gaps():
    frame, target = table()
    generator = np.random.default_rng(1)
    for name in ("a", "b", "kind"):
        frame.loc[generator.random(len(frame)) < 0.15, name] = None
    return frame, target


def prepared(rows, **config):
    """Return the frame's training rows, all its rows, and the prepared data set."""
    source = sources.of_arrays(*rows)
    dataset = datasets.prepare(source, SETTINGS, PreprocessingConfig(**config), sweep_seed=0)
    frame = rows[0]
    return frame.iloc[dataset.training.rows], frame.iloc[dataset.validation.rows], dataset


def numbers(frame):
    return frame[["a", "b", "c"]].to_numpy()


@pytest.mark.parametrize(
    ("scaling", "reference"),
    [("standard", StandardScaler()), ("minmax", MinMaxScaler()), ("robust", RobustScaler())],
    ids=["standard", "minmax", "robust"],
)
def test_scaling_matches_scikit_learn_fitted_on_the_training_rows(scaling, reference):
    training, validation, dataset = prepared(table(), scaling=scaling)
    reference.fit(numbers(training))
    for rows, part in ((training, dataset.training), (validation, dataset.validation)):
        np.testing.assert_allclose(part.features[:, :3], reference.transform(numbers(rows)), rtol=1e-9)


def test_without_scaling_numbers_are_unchanged():
    training, _, dataset = prepared(table(), scaling="none")
    np.testing.assert_array_equal(dataset.training.features[:, :3], numbers(training))


def test_text_encoding_matches_scikit_learn_without_columns_for_unseen_categories():
    frame, target = table()
    _, validation, _ = prepared((frame, target))
    frame.loc[validation.index[0], "kind"] = "only here"
    training, validation, dataset = prepared((frame, target))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(training[["kind"]])
    assert dataset.feature_names == ("a", "b", "c", "kind=x", "kind=y", "kind=z")
    expected = encoder.transform(validation[["kind"]])
    assert expected.sum() == len(validation) - 1
    np.testing.assert_array_equal(dataset.validation.features[:, 3:], expected)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_gaps_are_filled_as_scikit_learn_does(strategy):
    training, validation, dataset = prepared(with_gaps(), missing=strategy, missing_value=7.0, scaling="none")
    assert training.isna().any().any()
    imputer = SimpleImputer(strategy=strategy, fill_value=7.0).fit(numbers(training))
    np.testing.assert_allclose(dataset.validation.features[:, :3], imputer.transform(numbers(validation)))


def test_gaps_are_filled_from_the_nearest_standardised_rows():
    training, validation, dataset = prepared(with_gaps(), missing="knn", missing_neighbors=3, scaling="none")
    scaler = StandardScaler().fit(numbers(training))
    imputer = KNNImputer(n_neighbors=3).fit(scaler.transform(numbers(training)))
    expected = scaler.inverse_transform(imputer.transform(scaler.transform(numbers(validation))))
    np.testing.assert_allclose(dataset.validation.features[:, :3], expected)


def test_missing_text_becomes_the_most_frequent_value_or_a_separate_category():
    training, validation, dataset = prepared(with_gaps(), missing="mean")
    gaps = validation["kind"].isna().to_numpy()
    column = dataset.feature_names.index(f"kind={training['kind'].mode()[0]}")
    assert gaps.any()
    assert (dataset.validation.features[gaps, column] == 1).all()
    _, _, dataset = prepared(with_gaps(), missing="constant")
    column = dataset.feature_names.index("kind=(missing)")
    np.testing.assert_array_equal(dataset.validation.features[:, column], gaps)


def test_unfilled_gaps_are_refused_by_column():
    with pytest.raises(
        ValueError, match=r"^missing: must be mean, .* got 'none' and gaps in 'a' \(\d+ rows\), 'b'"
    ):
        prepared(with_gaps())


@pytest.mark.parametrize("limit", [None, 1.0])
def test_outliers_are_clipped_to_tukeys_fences_of_the_training_rows(limit):
    training, validation, dataset = prepared(table(), outliers="clip", outlier_limit=limit, scaling="none")
    lower, upper = np.quantile(numbers(training), [0.25, 0.75], axis=0)
    margin = (limit or 1.5) * (upper - lower)
    expected = np.clip(numbers(validation), lower - margin, upper + margin)
    assert (expected != numbers(validation)).any()
    np.testing.assert_allclose(dataset.validation.features[:, :3], expected)


def test_outliers_are_clipped_to_deviations_from_the_mean():
    training, validation, dataset = prepared(
        table(), outliers="clip", outlier_rule="zscore", outlier_limit=1.5, scaling="none"
    )
    mean, deviation = numbers(training).mean(axis=0), numbers(training).std(axis=0)
    expected = np.clip(numbers(validation), mean - 1.5 * deviation, mean + 1.5 * deviation)
    assert (expected != numbers(validation)).any()
    np.testing.assert_allclose(dataset.validation.features[:, :3], expected)


def test_outliers_are_removed_from_the_training_rows_only():
    everything, _, before = prepared(table())
    _, _, after = prepared(table(), outliers="remove", outlier_rule="zscore", outlier_limit=2.0)
    values = numbers(everything)
    inside = (np.abs(values - values.mean(axis=0)) <= 2 * values.std(axis=0)).all(axis=1)
    assert 0 < inside.sum() < len(inside)
    assert after.training.rows.tolist() == everything.index[inside].tolist()
    assert after.validation.rows.tolist() == before.validation.rows.tolist()
    assert after.test.rows.tolist() == before.test.rows.tolist()
    # The next steps are fitted without them.
    assert after.training.features[:, :3].mean(axis=0) == pytest.approx(0, abs=1e-9)


def test_removing_all_rows_of_a_class_is_refused():
    frame, _ = table()
    frame.loc[:8, "a"] = 1e6
    target = np.where(frame.index <= 8, "rare", "usual")
    with pytest.raises(
        ValueError, match=r"^outliers: must leave training rows of every class, got none of 'rare'"
    ):
        prepared((frame, target), outliers="remove")


def test_a_column_with_equal_quartiles_has_no_outliers():
    frame, target = table()
    frame["b"] = 0.0
    frame.loc[::10, "b"] = 1.0
    training, _, dataset = prepared((frame, target), outliers="clip", scaling="none")
    np.testing.assert_array_equal(dataset.training.features[:, 1], training["b"])


def test_pca_whitening_matches_scikit_learn():
    training, validation, dataset = prepared(table(), whitening="pca")
    scaler = StandardScaler().fit(numbers(training))
    pca = PCA(whiten=True, svd_solver="full").fit(scaler.transform(numbers(training)))
    expected = pca.transform(scaler.transform(numbers(validation)))
    np.testing.assert_allclose(dataset.validation.features[:, :3], expected, atol=1e-9)
    assert dataset.feature_names[:3] == ("component 1", "component 2", "component 3")


def test_zca_whitening_multiplies_by_the_inverse_root_of_the_covariance():
    training, validation, dataset = prepared(table(), whitening="zca")
    scaler = StandardScaler().fit(numbers(training))
    covariance = np.cov(scaler.transform(numbers(training)), rowvar=False)
    expected = scaler.transform(numbers(validation)) @ np.linalg.inv(sqrtm(covariance))
    np.testing.assert_allclose(dataset.validation.features[:, :3], expected, atol=1e-8)
    whitened = np.cov(dataset.training.features[:, :3], rowvar=False)
    np.testing.assert_allclose(whitened, np.eye(3), atol=1e-9)


def test_pca_keeps_the_requested_share_of_the_variance_and_no_rounding_errors():
    frame, target = table()
    frame["again"] = 2 * frame["b"]
    _, _, whole = prepared((frame, target), whitening="pca")
    training, _, some = prepared((frame, target), whitening="pca", whitening_variance=0.7)
    assert [name for name in whole.feature_names if name.startswith("component")] == [
        "component 1",
        "component 2",
        "component 3",
    ]
    columns = frame.columns.drop("kind")
    pca = PCA(n_components=0.7).fit(StandardScaler().fit_transform(training[columns]))
    assert len(some.feature_names) == pca.n_components_ + 3


def test_images_stay_images_under_zca():
    settings = DataSettings(dataset="digits", precision="float64")
    dataset = datasets.prepare(
        sources.load(settings), settings, PreprocessingConfig(whitening="zca"), sweep_seed=0
    )
    assert dataset.shape == (8, 8)
    assert dataset.training.features.shape[1] == 64


EVERYTHING = {
    "standard": {},
    "minmax": {"scaling": "minmax"},
    "robust and clipped": {"scaling": "robust", "outliers": "clip"},
    "pca": {"whitening": "pca", "outliers": "remove", "outlier_limit": 4.0},
    "zca": {"whitening": "zca", "missing": "median"},
    "knn": {"missing": "knn"},
    "constant": {"missing": "constant", "missing_value": -1.0},
}


@pytest.mark.parametrize("config", EVERYTHING.values(), ids=EVERYTHING)
def test_preprocessing_restored_from_json_and_arrays_is_identical(config):
    _, _, dataset = prepared(with_gaps(), **{"missing": "mean", **config})
    fitted = dataset.preprocessing
    again = Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict())), fitted.arrays)
    table = dataset.source.table
    np.testing.assert_array_equal(
        again.transform(table.numbers, table.codes), fitted.transform(table.numbers, table.codes)
    )
    assert again.feature_names == fitted.feature_names


def test_validation_and_test_rows_do_not_affect_the_fit():
    frame, target = with_gaps()
    training, _, before = prepared((frame, target), missing="knn", whitening="pca", outliers="clip")
    others = frame.index.difference(training.index)
    frame.loc[others, ["a", "b", "c"]] *= 1000
    _, _, after = prepared((frame, target), missing="knn", whitening="pca", outliers="clip")
    np.testing.assert_array_equal(after.training.features, before.training.features)


def test_only_trials_with_equal_preprocessing_share_a_data_set(trial):
    one, same, other = trial(scaling="robust"), trial(scaling="robust", lr=0.1), trial(scaling="minmax")
    assert one.dataset is same.dataset
    assert one.dataset is not other.dataset
    assert one.dataset.source is other.dataset.source


def test_ineffective_settings_do_not_make_another_data_set():
    assert relevant(MLPConfig(missing_neighbors=3, missing_value=2.0)) == relevant(MLPConfig(hidden=8))
    assert relevant(MLPConfig(missing="knn", missing_neighbors=3)) != relevant(MLPConfig(missing="knn"))


def test_unused_data_sets_are_kept_up_to_a_limit():
    cache = RowCache(datasets=2)
    source = sources.of_arrays(*table())
    kinds = [PreprocessingConfig(scaling=scaling) for scaling in ("none", "standard", "minmax", "robust")]
    rows = [cache.prepared(source, SETTINGS, kind, sweep_seed=0).training for kind in kinds]
    again = [cache.prepared(source, SETTINGS, kind, sweep_seed=0).training for kind in reversed(kinds)]
    assert [one is other for one, other in zip(rows, reversed(again), strict=True)] == [
        False,
        False,
        True,
        True,
    ]


def test_large_data_sets_are_kept_up_to_a_total_size():
    source = sources.of_arrays(*table())
    config = PreprocessingConfig()
    size = datasets.prepare(source, SETTINGS, config, sweep_seed=0).training.features.nbytes
    cache = RowCache(bytes=size)
    kept = cache.prepared(source, SETTINGS, config, sweep_seed=0).training
    cache.prepared(source, SETTINGS, PreprocessingConfig(scaling="none"), sweep_seed=0)
    assert cache.prepared(source, SETTINGS, config, sweep_seed=0).training is not kept


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scaling": "standart"}, "scaling: unknown value 'standart'; did you mean 'standard'?"),
        ({"outlier_limit": 0}, "outlier_limit: must be greater than 0, got 0"),
        ({"whitening_variance": 1.5}, "whitening_variance: must be less than or equal to 1, got 1.5"),
        ({"missing_neighbors": 0}, "missing_neighbors: must be greater than or equal to 1, got 0"),
    ],
    ids=str,
)
def test_invalid_options_are_refused_in_a_sentence(trial, config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        trial(**config)


class Gappy(MLP):
    """An MLP on rows with gaps and text, from a user's ``data`` method."""

    Settings = SplitSettings

    @classmethod
    def data(cls, settings):
        return with_gaps()


@pytest.mark.parametrize("config", EVERYTHING.values(), ids=EVERYTHING)
def test_a_checkpoint_reproduces_the_reported_scores_from_raw_rows(config, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    trial = Gappy(config={"missing": "mean", **config, "lr": 0.05, "batch_size": 16})
    result = [trial.train() for _ in range(3)][-1]
    trial.save(str(tmp_path / "saved"))
    model = load_model(tmp_path / "saved", trainable=Gappy)
    frame, target = with_gaps()
    rows = trial.dataset.validation.rows
    predicted = model.predict(frame.iloc[rows][["kind", "c", "b", "a"]])
    assert (predicted == target[rows]).mean() == pytest.approx(result["val_accuracy"])
