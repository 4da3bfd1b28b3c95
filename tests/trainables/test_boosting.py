"""XGBoost, LightGBM, CatBoost and HistGradientBoosting, each against direct calls of its library."""

import os
import re
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from trainables.sklearn import Estimator, boosting

PATHS = {
    "xgboost": "xgboost:XGBClassifier",
    "lightgbm": "lightgbm:LGBMClassifier",
    "catboost": "catboost:CatBoostClassifier",
}
HIST = "sklearn.ensemble:HistGradientBoostingClassifier"
SAMPLED: dict[str, dict[str, Any]] = {
    "xgboost": {"subsample": 0.6},
    "lightgbm": {"subsample": 0.6, "subsample_freq": 1},
    "catboost": {"subsample": 0.6, "bootstrap_type": "Bernoulli"},
}


@pytest.fixture(params=[*PATHS])
def library(request):
    pytest.importorskip(request.param, reason=f"needs the extra '{request.param}'", exc_type=ImportError)
    return request.param


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    monkeypatch.chdir(tmp_path)
    return lambda **config: Estimator(config={"dataset": "wine", "metrics": ["log_loss"], **config})


def rows(trial):
    """Return raw training and validation rows with their targets."""
    table, targets = trial.source.table.numbers, trial.source.targets
    training, validation = trial.dataset.training.rows, trial.dataset.validation.rows
    return table[training], targets[training], table[validation], targets[validation]


def fitted_until_worse(library, seed, x, y, others, expected):
    if library == "xgboost":
        import xgboost

        model = xgboost.XGBClassifier(learning_rate=0.5, random_state=seed, early_stopping_rounds=4)
        return model.fit(x, y, eval_set=[(others, expected)], verbose=False)
    if library == "lightgbm":
        import lightgbm

        model = lightgbm.LGBMClassifier(learning_rate=0.5, random_state=seed, verbosity=-1)
        stop = lightgbm.early_stopping(4, verbose=False)
        return model.fit(x, y, eval_X=(others,), eval_y=(expected,), callbacks=[stop])
    import catboost

    model = catboost.CatBoostClassifier(
        learning_rate=0.5, random_seed=seed, allow_writing_files=False, logging_level="Silent"
    )
    return model.fit(x, y, eval_set=(others, expected), early_stopping_rounds=4)


def test_a_fit_stops_early_on_the_validation_rows(start, library):
    trial = start(estimator=PATHS[library], early_stopping_rounds=4, learning_rate=0.5, scaling="none")
    result = trial.train()
    x, y, others, expected = rows(trial)
    seed = trial._made.get_params().get("random_state", trial._made.get_params().get("random_seed"))
    reference = fitted_until_worse(library, seed, x, y, others, expected)
    assert result["val_log_loss"] == pytest.approx(
        log_loss(expected, reference.predict_proba(others)), rel=1e-5
    )
    assert result["rounds"] == boosting.rounds(reference)
    assert 1 < result["rounds"] < 1000


def test_the_transformers_of_a_pipeline_see_the_training_rows_only(start):
    steps = {"scale": "sklearn.preprocessing:StandardScaler", "trees": HIST}
    trial = start(estimator=steps, early_stopping_rounds=3, trees__learning_rate=0.4)
    result = trial.train()
    x, y, others, expected = rows(trial)
    scale = StandardScaler().fit(x)
    reference = HistGradientBoostingClassifier(
        learning_rate=0.4, early_stopping=True, n_iter_no_change=3, random_state=trial._made[-1].random_state
    ).fit(scale.transform(x), y, X_val=scale.transform(others), y_val=expected)
    assert result["rounds"] == reference.n_iter_
    assert result["val_log_loss"] == log_loss(expected, reference.predict_proba(scale.transform(others)))


def test_each_fold_stops_on_its_own_rows(start):
    trial = start(estimator=HIST, early_stopping_rounds=3, iteration="folds", folds=3, learning_rate=0.4)
    curve = [trial.train() for _ in range(3)]
    assert len({result["rounds"] for result in curve}) == 3  # means over the folds so far


def test_the_final_fit_uses_the_rounds_that_early_stopping_found(start):
    settings = {"dataset": "wine", "estimator": HIST, "early_stopping_rounds": 3}
    search = start(**settings, learning_rate=0.4)
    found = search.train()["rounds"]
    final, _ = Estimator.final(settings, sweep_seed=0, iterations=1, metric="val_accuracy")
    trial = start(**final, learning_rate=0.4)
    assert trial.train()["rounds"] == found
    training = trial._fitting.last.n_features_in_, len(trial.dataset.training)
    assert training == (13, len(search.dataset.training) + len(search.dataset.validation))


def test_iterations_add_rounds_to_the_same_model(start, library):
    trial = start(
        estimator=PATHS[library], iteration="boosting", growth=3, learning_rate=0.2, **SAMPLED[library]
    )
    curve = [trial.train() for _ in range(4)]
    assert [result["rounds"] for result in curve] == [3, 6, 9, 12]
    losses = [result["val_log_loss"] for result in curve]
    assert losses == sorted(losses, reverse=True)
    assert not curve[-1]["done"]


# A file of CatBoost lacks the permutations that it boosts by, so its model differs slightly.
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_deterministic_model_is_that_of_one_fit(start, library):
    trial = start(estimator=PATHS[library], iteration="boosting", growth=4, learning_rate=0.2, seed=1)
    continued = [trial.train() for _ in range(3)][-1]
    whole = start(estimator=PATHS[library], n_estimators=12, learning_rate=0.2, seed=1).train()
    assert continued["val_log_loss"] == pytest.approx(whole["val_log_loss"], rel=1e-5)


def test_a_restored_trial_continues_as_if_it_had_not_paused(start, library, tmp_path):
    config = {"iteration": "boosting", "growth": 3, "learning_rate": 0.2, **SAMPLED[library]}
    config["estimator"] = PATHS[library]
    whole, paused, resumed = (start(**config) for _ in range(3))
    expected = [whole.train()["val_log_loss"] for _ in range(4)]
    found = [paused.train()["val_log_loss"] for _ in range(2)]
    saved = paused.save(str(tmp_path / "saved"))
    assert {file.name for file in (tmp_path / "saved").iterdir() if not file.name.startswith(".")} == {
        "checkpoint.json",
        boosting.MODEL_FILE[library],
    }
    resumed.restore(saved)
    again = resumed.save(str(tmp_path / "again"))  # before it trains
    resumed.restore(again)
    found += [resumed.train()["val_log_loss"] for _ in range(2)]
    assert found == expected


def test_twenty_trials_of_a_process_do_not_affect_each_other(start, library):
    rates = np.geomspace(0.01, 0.5, 20)
    configs = [
        {
            "estimator": PATHS[library],
            "iteration": "boosting",
            "growth": 5,
            "learning_rate": float(rate),
            "seed": number,
            **SAMPLED[library],
        }
        for number, rate in enumerate(rates)
    ]
    trial = start(**configs[0])
    shared = []
    for config in configs:
        trial.reset_config({"dataset": "wine", "metrics": ["log_loss"], **config})
        shared.append(trial.train()["val_log_loss"])
    alone = [start(**config).train()["val_log_loss"] for config in reversed(configs)][::-1]
    assert shared == alone
    assert len(set(shared)) == 20
    assert os.listdir() == ["logs"]  # CatBoost would write a folder of logs


def test_a_library_uses_the_threads_of_its_worker(start, library, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    parameters = start(estimator=PATHS[library])._made.get_params()
    assert parameters.get("n_jobs", parameters.get("thread_count")) == 3
    name = "thread_count" if library == "catboost" else "n_jobs"
    assert start(estimator=PATHS[library], **{name: 2})._made.get_params()[name] == 2


def test_parameters_of_estimators_have_other_names_than_settings(start):
    """Estimators of scikit-learn have parameters such as ``early_stopping`` and ``scoring``."""
    trial = start(estimator=HIST, early_stopping=True, scoring="loss", max_iter=5)
    assert trial._made.get_params()["early_stopping"] is True
    assert trial._made.get_params()["scoring"] == "loss"


def test_a_fit_prints_nothing(start, library, capfd):
    start(estimator=PATHS[library], early_stopping_rounds=3, learning_rate=0.5).train()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"estimator": "sklearn.svm:SVC", "early_stopping_rounds": 5},
            "early_stopping_rounds: needs an estimator of XGBoost, LightGBM, CatBoost or "
            "HistGradientBoosting of scikit-learn, got SVC",
        ),
        (
            {"estimator": HIST, "early_stopping_rounds": 5, "iteration": "boosting"},
            "early_stopping_rounds: needs iteration fit, samples or folds",
        ),
        (
            {"estimator": HIST, "iteration": "boosting"},
            "iteration: boosting needs an estimator of XGBoost, LightGBM, CatBoost, got "
            "HistGradientBoostingClassifier; write iteration: warm_start and grows: max_iter",
        ),
        (
            {
                "estimator": {"trees": "lightgbm:LGBMClassifier"},
                "iteration": "boosting",
                "trees__n_estimators": 9,
            },
            "trees__n_estimators: must be left out: with iteration: boosting, each iteration adds 'growth' "
            "rounds, got 9",
        ),
        (
            {"estimator": HIST, "early_stopping_rounds": 0},
            "early_stopping_rounds: must be greater",
        ),
    ],
    ids=str,
)
def test_impossible_rounds_are_refused_before_anything_runs(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Estimator.check({"dataset": "wine", **config})


@pytest.mark.parametrize("given", [{}, {"cat_features": ["colour"]}], ids=["encoded", "its own"])
def test_catboost_gets_text_encoded_unless_it_is_told_to_encode_it(start, flowers, tmp_path, given):
    pytest.importorskip("catboost", reason="needs the extra 'catboost'")
    flowers.to_parquet("rows.parquet")
    path = {"dataset": None, "path": str(tmp_path / "rows.parquet"), "target": "species"}
    trial = start(**path, estimator=PATHS["catboost"], early_stopping_rounds=3, learning_rate=0.5, **given)
    assert trial.train()["rounds"] > 0
    names = trial._fitting.last.feature_names_
    assert ("colour" in names) == bool(given)


def test_catboost_needs_a_learning_rate_to_continue():
    pytest.importorskip("catboost", reason="needs the extra 'catboost'")
    message = "iteration: boosting needs a learning_rate for CatBoostClassifier, since CatBoost derives it"
    with pytest.raises(ValueError, match=f"^{message}"):
        Estimator.check({"dataset": "wine", "estimator": PATHS["catboost"], "iteration": "boosting"})
