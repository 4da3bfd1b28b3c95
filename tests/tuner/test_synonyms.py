"""The table of synonyms: our words in it exist, and no foreign word hides one of ours."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

from tuner import Budget, Objective, Resources, Sweep
from tuner.hints import flow, for_method
from tuner.logger import LOGGERS
from tuner.schedulers import SCHEDULERS
from tuner.searchers import SEARCHERS
from tuner.space import SearchSpace
from tuner.space.kinds import KINDS, options_of
from tuner.spec import did_you_mean, likely, locate
from tuner.synonyms import estimator, form_of, method, mode_of, place_of, role_of, squeezed, synonym, tracker
from tuner.synonyms.table import DISTRIBUTIONS, KEYS, METHODS, METRICS, OPTIONS, ROLES, VALUES
from tuner.trainable import trainables

SETTINGS = {name: locate(entry.settings, {}, what="settings") for name, entry in trainables().items()}
CONFIGS = {name: locate(entry.config, {}, what="config") for name, entry in trainables().items()}


def fields(*models: type[BaseModel]) -> set[str]:
    return {name for model in models for name in model.model_fields}


OURS = {
    "sweep": fields(Sweep),
    "objective": fields(Objective),
    "budget": fields(Budget),
    "resources": fields(Resources),
    "searcher": fields(*SEARCHERS.values()),
    "scheduler": fields(*SCHEDULERS.values()),
    "trainable": fields(*SETTINGS.values()),
    "space": fields(*CONFIGS.values()),
}


def literals(annotation: Any) -> Iterator[str]:
    """Return the texts that a type admits by name."""
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from literals(part)


@pytest.mark.parametrize("place", KEYS)
def test_every_key_in_the_table_exists(place: Any) -> None:
    assert KEYS[place].keys() <= OURS[place]


@pytest.mark.parametrize("place", KEYS)
def test_every_synonym_leads_to_our_key(place: Any) -> None:
    for ours, theirs in KEYS[place].items():
        for name in theirs.split():
            assert likely(name, [ours]) == ours
            # The word may also mean another of our keys; then the list of hints contains one that works.
            found = likely(name, OURS[place])
            assert found is not None
            assert squeezed(name) in {
                squeezed(each) for each in [found, *KEYS[place].get(found, "").split()]
            } or (found in OURS[place])


def test_every_option_of_a_dimension_exists() -> None:
    assert OPTIONS.keys() <= {option for kind in KINDS.values() for option in options_of(kind)}


def test_every_value_in_the_table_exists() -> None:
    models = [*SEARCHERS.values(), *SCHEDULERS.values(), *SETTINGS.values(), *CONFIGS.values(), Objective]
    known = {text for model in models for hint in get_type_hints(model).values() for text in literals(hint)}
    assert VALUES.keys() <= known | trainables().keys() | LOGGERS.keys()


@pytest.mark.parametrize(
    ("key", "ours"), [(key, ours) for key, table in METHODS.items() for ours, _ in table], ids=str
)
def test_every_method_in_the_table_can_be_built(key: str, ours: Any) -> None:
    kind = ours if isinstance(ours, str) else ours["kind"]
    spec = (SEARCHERS if key == "searcher" else SCHEDULERS)[kind]
    needed = {} if kind != "replay" else {"changes": [{"at": 1, "set": {"lr": 0.1}}]}
    spec(**{**needed, **({} if isinstance(ours, str) else ours)})


def test_every_searcher_scheduler_and_sampler_is_found_by_its_name() -> None:
    for key, table in (("searcher", SEARCHERS), ("scheduler", SCHEDULERS)):
        for name in table:
            assert (key, name) in [*method(name)]
    for kind, field in (("optuna", "sampler"), ("hyperopt", "algorithm")):
        for name in get_args(SEARCHERS[kind].model_fields[field].annotation):
            found = dict.fromkeys(flow(ours) for key, ours in method(name) if key == "searcher")
            assert [*found], name
            assert any(f": {name}" in ours or ours == name for ours in found) or name == "tpe"


def test_every_installed_estimator_and_logger_can_be_imported() -> None:
    from tuner.synonyms.table import ESTIMATORS, TRACKERS

    for path in (*ESTIMATORS, *TRACKERS):
        if path in LOGGERS or find_spec(path.partition(":")[0].partition(".")[0]) is not None:
            assert callable(locate(path, LOGGERS, what="object"))
    assert estimator("RandomForestClassifier") == "sklearn.ensemble:RandomForestClassifier"
    assert str(tracker("comet")).endswith(":CometLoggerCallback")
    assert tracker("WandbLoggerCallback") == "wandb"


def test_every_standard_metric_has_one_mode() -> None:
    names = [(squeezed(name), mode) for mode, names in METRICS.items() for name in names.split()]
    assert len({name for name, _ in names}) == len(names)
    assert all(mode_of(name) == mode for names_of_mode, mode in ((METRICS[m], m) for m in METRICS)
               for name in names_of_mode.split())  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_accuracy", "max"),
        ("test/acc", "max"),
        ("eval_loss", "min"),
        ("train-rmse", "min"),
        ("valAUC", "max"),
        ("ROC_AUC", "max"),
        ("validation.f1", "max"),
        ("neg_mean_squared_error", "max"),
        ("mean_cv_r2", "max"),
        ("loss", "min"),
        ("error", "min"),
        ("gain", None),
        ("score", None),
        ("-val_loss", None),
        ("min val_loss", None),
        ("val", None),
        ("neg_accuracy", None),
        ("latency", None),
    ],
)
def test_the_mode_of_a_metric_follows_from_its_words(metric: str, mode: Any) -> None:
    assert mode_of(metric) == mode


def test_forms_and_roles_hold_no_word_twice() -> None:
    for table in (DISTRIBUTIONS, ROLES):
        words = [squeezed(word) for names in table.values() for word in names.split()]
        assert len(set(words)) == len({(word, key) for key, names in table.items()
                                       for word in map(squeezed, names.split())})  # fmt: skip
    assert form_of("tune.loguniform") == form_of("LogUniform") == form_of("log_uniform_values") == "log float"
    assert (role_of("minValue"), role_of("no_such_key")) == ("low", None)


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("tpe", "searcher", "; write {kind: optuna, sampler: tpe}"),
        ("TPESampler", "searcher", "; write {kind: optuna, sampler: tpe}"),
        ("optuna.samplers.CmaEsSampler", "searcher", "; write {kind: optuna, sampler: cmaes}"),
        ("gp", "searcher", "; write {kind: optuna, sampler: gp} or bayes"),
        ("bo", "searcher", "; write bayes"),
        ("asha", "searcher", "; it is a scheduler, write scheduler: asha"),
        ("hyperband", "searcher", "; it is a scheduler, write scheduler: hyperband"),
        ("tpe", "scheduler", "; it is a searcher, write searcher: {kind: optuna, sampler: tpe}"),
        ("bohb", "searcher", "; write {kind: optuna, sampler: tpe}, and scheduler: hyperband"),
        ("AsyncHyperBandScheduler", "scheduler", "; write asha"),
        ("MedianStoppingRule", "scheduler", "; write median"),
        ("no_such_method", "searcher", None),
    ],
)
def test_a_method_of_another_tool_gets_ours(name: str, what: Any, hint: str | None) -> None:
    assert for_method(name, what) == hint


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("learning_rate", ["lr", "hidden"], "; write 'lr'"),
        ("leaning_rate", ["lr", "hidden"], "; did you mean 'lr'?"),
        ("lr", ["learning_rate", "width"], "; write 'learning_rate'"),
        ("adamW", ["adam", "adamw"], "; did you mean 'adamw'?"),
        ("kaiming_normal", ["he_normal", "he_uniform"], "; write 'he_normal'"),
        ("colour", [f"setting_{n}" for n in range(20)], "; must be one of 20 names, see tuner list"),
    ],
)  # fmt: skip
def test_a_hint_knows_synonyms_and_cuts_long_lists(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known, see="tuner list").startswith(hint)
    if len(known) == 20:
        assert len(did_you_mean(name, known).rpartition("nearest are ")[2].split(", ")) == 5


def test_names_are_compared_by_letters_and_digits_only() -> None:
    assert synonym("Batch-Size", ["batch_size"]) == "batch_size"
    assert place_of("maxConcurrentTrials") == ("budget", "concurrent")
    assert place_of("no_such_key") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5]}, "{a: [1, 2.5]}"),
        ("a b", "'a b'"),
        ("true", "'true'"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_values_are_written_in_flow_style(value: Any, text: str) -> None:
    assert flow(value) == text


def test_no_foreign_kind_of_dimension_is_ours_with_another_meaning() -> None:
    for kind in ("float", "int", "choice", "ordinal"):
        assert form_of(kind) == kind
        assert SearchSpace({"x": {kind: [1, 2]}}).dimensions["x"].to_dict() == {kind: [1, 2]}
