"""The reported metrics against scikit-learn's functions."""

import re
from types import MappingProxyType

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from trainables.configs import METRICS
from trainables.models.mlp import MLP
from trainables.training.metrics import BY_TASK, Metrics

ROWS = 200


def softmax(outputs):
    return outputs.double().softmax(dim=1).numpy()


CLASSIFICATION = {
    "accuracy": lambda y, o: reference.accuracy_score(y, o.argmax(dim=1)),
    "balanced_accuracy": lambda y, o: reference.balanced_accuracy_score(y, o.argmax(dim=1)),
    "macro_f1": lambda y, o: reference.f1_score(y, o.argmax(dim=1), average="macro"),
    "log_loss": lambda y, o: reference.log_loss(y, softmax(o)),
    "roc_auc": lambda y, o: (
        reference.roc_auc_score(y, softmax(o)[:, 1])
        if o.shape[1] == 2
        else reference.roc_auc_score(y, softmax(o), multi_class="ovr", average="macro")
    ),
}
REGRESSION = {
    "rmse": lambda y, o: reference.root_mean_squared_error(y, o[:, 0]),
    "mae": lambda y, o: reference.mean_absolute_error(y, o[:, 0]),
    "r2": lambda y, o: reference.r2_score(y, o[:, 0]),
}


def classified(classes, lanes=()):
    """Return outputs with many ties, and targets with unequal class frequencies.

    One class is never predicted.
    """
    generator = torch.Generator().manual_seed(classes)
    outputs = torch.randn(*lanes, ROWS, classes, generator=generator).round(decimals=1)
    outputs[..., 0] = -5.0
    weights = torch.arange(1.0, classes + 1)
    return outputs, torch.multinomial(weights, ROWS, replacement=True, generator=generator)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("name", METRICS["classification"])
def test_classification_metrics_match_scikit_learn(name, classes):
    outputs, targets = classified(classes)
    expected = CLASSIFICATION[name](targets, outputs)
    assert BY_TASK["classification"][name](outputs, targets).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", METRICS["regression"])
def test_regression_metrics_match_scikit_learn(name):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(ROWS, 1, generator=generator, dtype=torch.float64)
    targets = 0.5 * outputs[:, 0] + torch.randn(ROWS, generator=generator, dtype=torch.float64)
    expected = REGRESSION[name](targets, outputs)
    assert BY_TASK["regression"][name](outputs, targets).item() == pytest.approx(expected, rel=1e-9)


def test_each_lane_is_scored_separately():
    outputs, targets = classified(4, lanes=(5,))
    metrics = Metrics("classification", METRICS["classification"])
    together = metrics.of([outputs[:, :70], outputs[:, 70:]], targets)
    assert together == [metrics.of([lane], targets)[0] for lane in outputs]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_non_finite_outputs_have_no_score(task):
    outputs, targets = torch.zeros(2, ROWS, 2 if task == "classification" else 1), torch.arange(ROWS) % 2
    outputs[1, 3, 0] = torch.nan
    sound, broken = Metrics(task, METRICS[task]).of([outputs], targets)
    assert np.isfinite(list(sound.values())).all()
    assert np.isnan(list(broken.values())).all()


def test_a_class_without_rows_has_no_roc_auc():
    outputs, targets = classified(3)
    assert BY_TASK["classification"]["roc_auc"](outputs, targets.clamp(max=1)).isnan()


@pytest.mark.parametrize(
    ("dataset", "reference"), [("wine", CLASSIFICATION), ("diabetes", REGRESSION)], ids=["wine", "diabetes"]
)
def test_results_hold_the_requested_metrics_in_units_of_the_target(trial, dataset, reference):
    learner = trial(dataset=dataset, metrics=list(reference), precision="float64")
    result = learner.train()
    validation, target = learner.dataset.validation, learner.dataset.target
    with torch.inference_mode():
        outputs = learner._learner.network.eval()(torch.tensor(validation.features))
    targets = torch.tensor(validation.targets)
    if learner.dataset.task == "regression":
        outputs, targets = outputs * target.scale + target.mean, targets * target.scale + target.mean
    expected = {f"val_{name}": function(targets, outputs) for name, function in reference.items()}
    assert {name: result[name] for name in expected} == pytest.approx(expected)
    assert set(expected) <= set(MLP.metrics({"dataset": dataset, "metrics": list(reference)}))


@pytest.mark.parametrize(
    ("dataset", "names"), [("wine", METRICS["classification"]), ("diabetes", METRICS["regression"])]
)
def test_a_lane_reports_what_a_lone_trial_reports(trial, dataset, names):
    configs = [
        {"dataset": dataset, "metrics": list(names), "seed": seed, "precision": "float64"}
        for seed in range(3)
    ]
    alone = [trial(**config).train() for config in configs]
    together = [trial(**config) for config in configs]
    MLP.fused_step(together)
    for lane, lone in zip(together, alone, strict=True):
        assert lane._stacked_result is not None
        result = lane.train()
        assert {f"val_{name}": result[f"val_{name}"] for name in names} == pytest.approx(
            {f"val_{name}": lone[f"val_{name}"] for name in names}, rel=1e-6
        )


def test_a_user_s_metric_gets_outputs_and_targets(trial, after):
    def top2(outputs, targets):
        return (outputs.topk(2).indices == targets[:, None]).any(dim=1).double().mean()

    class Mine(MLP):
        own_metrics = MappingProxyType({"top2": top2})

    lanes = [Mine(config={"dataset": "wine", "seed": seed}) for seed in range(2)]
    alone = [Mine(config={"dataset": "wine", "seed": seed}).train() for seed in range(2)]
    Mine.fused_step(lanes)
    assert "val_top2" in Mine.metrics({"dataset": "wine"})
    for lane, lone in zip(lanes, alone, strict=True):
        assert lane.train()["val_top2"] == lone["val_top2"] >= lone["val_accuracy"]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (
            ["rmse"],
            "metrics: 'rmse' is not a metric of classification; must be one of accuracy, balanced_accuracy, ",
        ),
        (["acuracy"], "metrics.0: unknown value 'acuracy'; did you mean 'accuracy'?"),
    ],
    ids=str,
)
def test_unknown_metrics_are_refused(metrics, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        MLP.metrics({"dataset": "wine", "metrics": metrics})
