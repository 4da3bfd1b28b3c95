"""The callbacks of the boosting libraries, without Ray."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.integrations import scripts
from tests.integrations.trial import Trial, continued, interrupted

CONFIGS: dict[str, dict[str, Any]] = {
    "xgboost": {"eta": 0.3, "max_depth": 3, "booster": "gbtree", "verbosity": 0, "seed": 1},
    "lightgbm": {"learning_rate": 0.3, "num_leaves": 8, "linear_tree": False, "verbosity": -1, "seed": 1},
    "catboost": {"learning_rate": 0.3, "depth": 3, "bootstrap_type": "Bayesian", "verbose": False, "seed": 1},
}


@pytest.fixture(params=CONFIGS)
def library(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("at", [1, 4, scripts.ROUNDS])
def test_a_continued_model_is_the_same_as_an_unbroken_one(library, at, tmp_path):
    config = CONFIGS[library]
    script = partial(getattr(scripts, library), config)
    whole = continued(script, config, None)
    assert [each["step"] for each in whole] == [*range(1, scripts.ROUNDS + 1)]
    assert interrupted(script, config, tmp_path / "checkpoint", at=at) == whole


def test_an_error_in_a_report_is_raised(library):
    class Broken(Trial):
        def report(self, *arguments):
            raise ValueError("no such metric")

    with pytest.raises(Exception, match="no such metric"), Broken(CONFIGS[library]).running():
        getattr(scripts, library)(CONFIGS[library])


def test_cross_validation_with_xgboost_reports_the_mean_of_the_folds():
    xgboost = pytest.importorskip("xgboost")
    from tuner.integrations.xgboost import TunerCallback

    trial = Trial({})
    with trial.running():
        rows = xgboost.DMatrix(*scripts.table())
        found = xgboost.cv({"nthread": 1}, rows, 4, nfold=3, callbacks=[TunerCallback(every=2)])
    assert [each["step"] for each in trial.reports] == [2, 4]
    assert [each["test-rmse"] for each in trial.reports] == [*found["test-rmse-mean"]][1::2]
    assert [each["test-rmse-std"] for each in trial.reports] == [*found["test-rmse-std"]][1::2]


def test_cross_validation_with_lightgbm_reports_the_mean_of_the_folds():
    lightgbm = pytest.importorskip("lightgbm")
    from tuner.integrations.lightgbm import TunerCallback

    trial = Trial({})
    with trial.running():
        settings = {"num_threads": 1, "verbosity": -1, "metric": "rmse"}
        rows = lightgbm.Dataset(*scripts.table())
        found = lightgbm.cv(settings, rows, 4, stratified=False, callbacks=[TunerCallback()])
    assert [each["valid-rmse"] for each in trial.reports] == found["valid rmse-mean"]
    assert [each["valid-rmse-std"] for each in trial.reports] == found["valid rmse-stdv"]


def test_estimators_of_scikit_learn_take_the_callback(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    from tuner.integrations.xgboost import TunerCallback

    def script():
        tuner = TunerCallback()
        model = xgboost.XGBRegressor(n_estimators=tuner.remaining(6), n_jobs=1, callbacks=[tuner])
        model.fit(*scripts.table(), eval_set=[scripts.table()], verbose=False, xgb_model=tuner.model)

    whole = continued(script, {}, None)
    assert len(whole) == 6
    assert interrupted(script, {}, tmp_path / "checkpoint", at=2) == whole
    assert "validation_0-rmse" in whole[0]


def test_a_number_of_rounds_between_reports_must_be_positive():
    pytest.importorskip("xgboost")
    from tuner.integrations.xgboost import TunerCallback

    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        TunerCallback(every=0)
