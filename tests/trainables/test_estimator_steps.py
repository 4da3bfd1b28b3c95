"""Steps of a pipeline as hyperparameters, and scorers of scikit-learn or of the user."""

import re

import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, fbeta_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from trainables.sklearn import Estimator

SCALED = {
    "scale": "sklearn.preprocessing:StandardScaler",
    "model": "sklearn.linear_model:LogisticRegression",
}
STEPS = {"reduce": "passthrough", "model": "sklearn.svm:SVC"}
SCORED = """
from sklearn.metrics import fbeta_score, make_scorer

def proline_of_hits(estimator, X, y):
    return float(X["proline"][estimator.predict(X) == y].mean())

f2 = make_scorer(fbeta_score, beta=2, average="macro")
benign = make_scorer(fbeta_score, beta=2, pos_label=1)

def error_rate(y_true, y_pred):
    return (y_true != y_pred).mean()

def text(estimator, X, y):
    return "good"
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(tmp_path))
    (tmp_path / f"scored_{tmp_path.name}.py").write_text(SCORED)
    return lambda **config: Estimator(config={"dataset": "wine", **config})


@pytest.fixture
def own(tmp_path):
    """Return the path of a scorer in a file of the user's."""
    return lambda name: f"scored_{tmp_path.name}.py:{name}"


def rows(trial):
    """Return raw training and validation rows with their targets."""
    table, targets = trial.source.table.numbers, trial.source.targets
    training, validation = trial.dataset.training.rows, trial.dataset.validation.rows
    return table[training], targets[training], table[validation], targets[validation]


def test_a_step_is_replaced_by_another_with_its_own_parameters(start):
    trial = start(
        estimator=STEPS,
        reduce="sklearn.decomposition:PCA",
        reduce__n_components=3,
        model="sklearn.tree:DecisionTreeClassifier",
        model__max_depth=2,
    )
    x, y, others, expected = rows(trial)
    seed = trial._made["model"].random_state
    assert isinstance(seed, int)
    reference = Pipeline(
        [
            ("reduce", PCA(3, random_state=seed)),
            ("model", DecisionTreeClassifier(max_depth=2, random_state=seed)),
        ]
    )
    assert trial.train()["val_accuracy"] == reference.fit(x, y).score(others, expected)


def test_a_step_can_do_nothing(start):
    trial = start(
        estimator={"reduce": "sklearn.decomposition:PCA", "model": "sklearn.svm:SVC"}, reduce="passthrough"
    )
    x, y, others, expected = rows(trial)
    assert trial.train()["val_accuracy"] == SVC().fit(x, y).score(others, expected)


def test_an_estimator_inside_another_is_replaced(start):
    trial = start(
        estimator={"model": "sklearn.ensemble:AdaBoostClassifier"},
        model__n_estimators=5,
        model__estimator="sklearn.tree:DecisionTreeClassifier",
        model__estimator__max_depth=3,
    )
    made = trial._made["model"]
    assert isinstance(made, AdaBoostClassifier)
    assert made.estimator.max_depth == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"reduce__n_components": 2},
            "reduce__n_components: the step 'reduce' is passthrough in this trial, which has no parameters; "
            "add when: {reduce: the step that has it}",
        ),
        (
            {"reduce": "sklearn.decomposition:PAC"},
            "reduce: 'sklearn.decomposition' has no 'PAC'; did you",
        ),
        ({"reduce": "json:dumps"}, "reduce: 'json:dumps()' raised TypeError: dumps() missing 1 required"),
        ({"model": "passthrough"}, "estimator: its last step must be an estimator, got 'passthrough'"),
        (
            {"redduce": "sklearn.decomposition:PCA"},
            "redduce: Pipeline has no such parameter; did you",
        ),
    ],
    ids=str,
)
def test_an_impossible_step_is_refused_before_anything_runs(config, message):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        Estimator.check({"dataset": "wine", "estimator": STEPS, **config})


def test_a_sweep_file_chooses_steps_with_conditional_parameters(tmp_path):
    from tuner import SpecError, Sweep

    text = """
trainable:
  kind: sklearn
  dataset: wine
  estimator: {reduce: passthrough, model: "sklearn.svm:SVC"}
space:
  reduce: {choice: [passthrough, "sklearn.decomposition:PCA"]}
  reduce__n_components: {int: [2, 10], when: {reduce: "sklearn.decomposition:PCA"}}
  model:
    choice:
      sklearn.svm:SVC: {model__C: {float: [0.1, 10]}}
      sklearn.ensemble:RandomForestClassifier: {model__max_depth: {int: [2, 8]}}
objective: {metric: val_accuracy, mode: max}
budget: {trials: 3, iterations: 1}
"""
    (tmp_path / "s.yaml").write_text(text)
    for given in Sweep.read(tmp_path / "s.yaml").samples:
        Estimator.check(given)
    (tmp_path / "s.yaml").write_text(text.replace(', when: {reduce: "sklearn.decomposition:PCA"}', ""))
    with pytest.raises(SpecError, match=r"^space.reduce__n_components: the step 'reduce' is passthrough"):
        Sweep.read(tmp_path / "s.yaml")


def test_scorers_of_scikit_learn_are_metrics_by_name(start):
    trial = start(
        estimator="sklearn.svm:SVC",
        scorers=["f1_macro", "neg_brier_score", "matthews_corrcoef"],
        probability=True,
    )
    with pytest.warns(FutureWarning, match="probability"):
        result = trial.train()
    x, y, others, expected = rows(trial)
    predicted = SVC().fit(x, y).predict(others)
    assert result["val_f1_macro"] == f1_score(expected, predicted, average="macro")
    assert -1 <= result["val_neg_brier_score"] <= 0
    names = {"val_accuracy", "val_f1_macro", "val_neg_brier_score", "val_matthews_corrcoef"}
    assert {name for name in result if name.startswith("val_")} == names
    settings = {"dataset": "wine", "estimator": "sklearn.svm:SVC", "scorers": {"f1": "f1_macro"}}
    assert Estimator.metrics(settings) == ("val_accuracy", "val_f1")


def test_a_scorer_of_the_user_sees_the_rows_and_the_original_classes(start, own):
    trial = start(
        dataset="breast_cancer",
        estimator={
            "scale": "sklearn.preprocessing:StandardScaler",
            "model": "sklearn.linear_model:LogisticRegression",
        },
        columns="raw",
        scorers={"benign": own("benign")},
    )
    result = trial.train()
    x, y, others, expected = rows(trial)
    reference = make_pipeline(StandardScaler(), LogisticRegression(random_state=trial._made[-1].random_state))
    predicted = reference.fit(x, y).predict(others)
    assert trial.source.class_names == ("benign", "malignant")
    assert result["val_benign"] == fbeta_score(expected, predicted, beta=2, pos_label=0)


def test_a_scorer_may_use_a_column(start, own):
    trial = start(estimator="sklearn.svm:SVC", columns="raw", scorers={"proline": own("proline_of_hits")})
    assert 100 < trial.train()["val_proline"] < 2000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f1_marco", "scorers: scikit-learn has no scorer 'f1_marco'; did you mean 'f1_macro'?"),
        ("error_rate", "scorers: '{}' takes y_true, and must be called as scorer(estimator, X, y); wrap it"),
        ("missing", "scorers: '{}' has no 'missing'"),
    ],
)
def test_an_impossible_scorer_is_refused_before_anything_runs(start, own, name, message):
    path = own(name) if "f1" not in name else name
    message = message.format(path if name == "error_rate" else path.partition(":")[0])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        start(estimator="sklearn.svm:SVC", scorers=[path])


def test_a_score_that_is_no_number_fails_the_trial(start, own):
    with pytest.raises(ValueError, match=r"^scorers: 'text' must return a number, got str$"):
        start(estimator="sklearn.svm:SVC", scorers=[own("text")]).train()
