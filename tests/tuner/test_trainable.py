"""``TrainableSpec``: how a trainable is named and loaded, and which sweeps it refuses."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray.tune import Trainable

from tuner import Choice, Float, Int, SearchSpace, Sweep
from tuner.code.modules import LOADED_FILES
from tuner.errors import SpecError
from tuner.trainable import TrainableSpec, trainables

PARTS: dict[str, Any] = {
    "space": {"width": Int(1, 8)},
    "objective": {"metric": "loss", "mode": "min"},
    "budget": {"trials": 4, "iterations": 3},
}


def train(config: dict[str, Any]) -> dict[str, float]:
    return {"loss": config["width"]}


def train_with_default(config: dict[str, Any], extra: int = 0) -> None: ...


def train_nothing() -> None: ...


def train_two(config: dict[str, Any], data: Any) -> None: ...


def train_keyword(*, config: dict[str, Any]) -> None: ...


class Untyped(Trainable):
    """A trainable that declares nothing."""


class TypedConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: Annotated[int, Field(ge=1, le=8)]
    rate: Annotated[float, Field(gt=0)] = 0.1
    shape: str = "round"


class TypedSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rows: Annotated[int, Field(ge=1)] = 10
    columns: int = 2

    @model_validator(mode="after")
    def _is_a_table(self) -> "TypedSettings":
        if self.rows < self.columns:
            raise ValueError(f"rows: must be at least columns, got {self.rows} and {self.columns}")
        return self


class Choosy(Trainable):
    """A trainable that accepts any hyperparameter and checks whole configurations."""

    class Config(BaseModel):
        model_config = ConfigDict(extra="allow")

        depth: int = 1

    class Settings(BaseModel):
        rows: int = 10

    @classmethod
    def check(cls, config: dict[str, Any]) -> None:
        if config.get("kernel") == "cubic" and config["seed"] >= 0:
            raise ValueError("kernel: must not be 'cubic'")
        if config["rows"] == 1:
            raise ValueError("rows: one is not enough")
        if config["rows"] == 2:
            raise RuntimeError("no idea")


class Typed(Trainable):
    """A trainable that declares everything it can."""

    Config = TypedConfig
    Settings = TypedSettings

    @classmethod
    def metrics(cls, settings: dict[str, Any]) -> tuple[str, ...]:
        if settings.get("rows") == 13:
            raise ValueError("rows: must not be 13, got 13")
        if settings.get("rows") == 14:
            raise ValueError("the table is on fire")
        return ("loss", "accuracy")


class Unmodelled(Trainable):
    """A trainable whose Config is no model."""

    Config = {"width": 3}  # noqa: RUF012


@pytest.fixture
def _imports() -> Iterator[None]:
    """Forget the modules that a test imported."""
    path, modules, files = list(sys.path), dict(sys.modules), dict(LOADED_FILES)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    LOADED_FILES.clear()
    LOADED_FILES.update(files)


def problems_of(kind: Any, space: dict[str, Any], metric: str | None = None, **settings: Any) -> list[str]:
    spec = TrainableSpec(kind=kind, settings=settings)
    found = spec.problems(space=SearchSpace(space), metrics=[metric] if metric else [], iterations=3)
    return [str(problem) for problem in found]


def refusal_of(kind: Any) -> str:
    with pytest.raises(SpecError) as refusal:
        TrainableSpec.parse(kind).load()
    return str(refusal.value)


def test_the_table_lists_the_trainables_of_installed_packages() -> None:
    assert trainables()["mlp"].path == "trainables.models.mlp:MLP"


@pytest.mark.parametrize(
    ("given", "name", "settings"),
    [
        ("mlp", "mlp", {}),
        ({"kind": "mlp", "dataset": "iris"}, "mlp", {"dataset": "iris"}),
        (train, f"{__name__}:train", {}),
        (Untyped, f"{__name__}:Untyped", {}),
        ({"kind": Typed, "rows": 5}, f"{__name__}:Typed", {"rows": 5}),
        (TrainableSpec(kind="mlp"), "mlp", {}),
    ],
    ids=["name", "mapping", "function", "class", "mapping with a class", "spec"],
)
def test_a_trainable_can_be_given_in_every_form(given: Any, name: str, settings: dict[str, Any]) -> None:
    sweep = Sweep(**PARTS, trainable=given)
    assert (sweep.trainable.name, sweep.trainable.settings) == (name, settings)
    assert sweep.to_dict()["trainable"] == {"kind": name, **settings}


@pytest.mark.parametrize("given", [train, Untyped, Typed], ids=lambda given: given.__name__)
def test_the_written_name_of_a_class_or_function_loads_the_same_object(given: Any) -> None:
    sweep = Sweep(**Sweep(**PARTS, trainable=given).to_dict())
    assert sweep.trainable.load() is given


def test_a_name_in_the_table_loads_its_class() -> None:
    from trainables.models.mlp import MLP

    assert TrainableSpec.parse("mlp").load() is MLP


def test_a_function_with_one_argument_and_defaults_is_accepted() -> None:
    assert TrainableSpec.parse(train_with_default).load() is train_with_default


@pytest.mark.usefixtures("_imports")
def test_a_function_in_a_file_is_a_trainable(tmp_path: Path) -> None:
    path = tmp_path / "my_objective.py"
    path.write_text("def objective(config):\n    return {'loss': config['width'] ** 2}\n")
    sweep = Sweep(**PARTS, trainable=f"{path}:objective")
    sweep.check()
    assert sweep.trainable.load()({"width": 3}) == {"loss": 9}
    assert sweep.to_dict()["trainable"] == {"kind": f"{path}:objective"}


@pytest.mark.usefixtures("_imports")
def test_a_class_in_a_module_of_the_current_folder_is_a_trainable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_trainable.py").write_text("from ray.tune import Trainable\nclass Mine(Trainable): pass\n")
    monkeypatch.chdir(tmp_path)
    loaded: Any = TrainableSpec.parse("my_trainable:Mine").load()
    assert issubclass(loaded, Trainable)


@pytest.mark.usefixtures("_imports")
def test_a_file_that_raises_is_reported_with_type_and_text(tmp_path: Path) -> None:
    path = tmp_path / "my_objective.py"
    path.write_text("rows = int('many')\n")
    with pytest.raises(SpecError) as refusal:
        Sweep(**PARTS, trainable=f"{path}:objective").check()
    assert str(refusal.value) == (
        f"trainable: '{path}' cannot be imported: ValueError: invalid literal for int() with base 10: 'many'"
    )


@pytest.mark.parametrize(
    ("given", "remedy"),
    [(train_nothing, ""), (train_two, "; bind 'data' with ray.tune.with_parameters"), (train_keyword, "")],
    ids=["nothing", "two", "keyword"],
)
def test_a_function_of_another_signature_is_refused(given: Any, remedy: str) -> None:
    assert refusal_of(given) == (
        f"the function '{__name__}:{given.__name__}' must take one argument, the configuration, "
        f"got {inspect.signature(given)}{remedy}"
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("json:JSONDecoder", "'json:JSONDecoder' must be a subclass of ray.tune.Trainable or a function"),
        ("math:pi", "'math:pi' must be a class or a function, got 3.141592653589793"),
        ("math:pii", "'math' has no 'pii'; did you mean 'pi'?"),
        ("mpl", "unknown trainable 'mpl'; did you mean 'mlp'?"),
        (7, "must be a name, a mapping with 'kind', a class or a function, got 7"),
        (None, "must be a name, a mapping with 'kind', a class or a function, got nothing"),
        ({"dataset": "iris"}, "kind: must be given: the trainable's name"),
        ({"knid": "mlp"}, "unknown key 'knid'; did you mean 'kind'?"),
        ({"kind": None}, "kind: must be a name, a class or a function, got nothing"),
    ],
    ids=str,
)
def test_an_object_that_is_no_trainable_is_refused(given: Any, sentence: str) -> None:
    assert refusal_of(given) == sentence


def test_a_valid_sweep_has_no_problems() -> None:
    assert (
        problems_of(Typed, {"width": Int(1, 8), "rate": Float(0.1, 1), "shape": "flat"}, "loss", rows=5) == []
    )
    assert problems_of(Untyped, {"anything": Int(1, 2)}, "whatever", setting=3) == []
    assert problems_of(train, {"anything": Int(1, 2)}, "whatever") == []


@pytest.mark.parametrize(
    ("space", "sentences"),
    [
        ({"width": Int(0, 8)}, ["space.width: must be at least 1, got 0 ({})"]),
        ({"width": Int(0, 9)}, [
            "space.width: must be at least 1, got 0 ({})", "space.width: must be at most 8, got 9 ({})",
        ]),
        ({"width": Float(1, 8)}, ["space.width: must be a whole number, got 5.326237921249264 ({})"]),
        ({"width": Float(1, 8, step=0.5)}, ["space.width: must be a whole number, got 1.5 ({})"]),
        ({"width": Float(1, 8, step=1)}, []),
        ({"width": Choice([0, 1, -1])}, [
            "space.width: must be at least 1, got 0 ({})", "space.width: must be at least 1, got -1 ({})",
        ]),
        ({"width": 9}, ["space.width: must be at most 8, got 9 ({})"]),
        ({"width": 3, "shape": Choice(["flat", 3])}, ["space.shape: must be text, got 3 ({})"]),
        ({"width": 3, "rat": 0.1}, ["space.rat: {} has no hyperparameter 'rat'; did you mean 'rate'?"]),
        ({"widht": Int(1, 8)}, ["space.widht: {} has no hyperparameter 'widht'; did you mean 'width'?"]),
        ({"rate": Float(0.1, 1)}, ["space.width: must be given: {} has no default for it"]),
        ({"shape": Choice(["a", "b"]), "width": Int(1, 8, when={"shape": "a"})}, [
            "space.width: must have no condition ('when'): {} has no default for it",
        ]),
        ({"width": 3, "rows": Int(1, 5)}, [
            "space.rows: is a setting, so it belongs under 'trainable'; move it there",
        ]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_hyperparameters_are_checked_against_the_trainable_s_declaration(
    space: dict[str, Any], sentences: list[str]
) -> None:
    assert problems_of(Typed, space) == [sentence.format(f"{__name__}:Typed") for sentence in sentences]


@pytest.mark.parametrize(
    ("settings", "sentences"),
    [
        ({"rows": 0}, ["trainable.rows: must be at least 1, got 0"]),
        ({"rwos": 3}, ["trainable: unknown key 'rwos'; did you mean 'rows'?"]),
        ({"rows": 1, "columns": 2}, ["trainable.rows: must be at least columns, got 1 and 2"]),
        ({"rows": 13}, ["trainable.rows: must not be 13, got 13"]),
        ({"rows": 14}, ["trainable: the table is on fire"]),
        ({"rate": 0.1}, [
            "trainable.rate: is a hyperparameter, so it belongs under 'space'; move it there",
        ]),
        ({"width": 3}, [
            "trainable.width: is a hyperparameter, so it belongs under 'space'; "
            "it is already there, so remove it here",
        ]),
        ({"seed": 3}, [
            "trainable.seed: tuner sets this from the sweep's 'seed'; choose another name",
        ]),
    ],
    ids=str,
)  # fmt: skip
def test_settings_are_checked_against_the_trainable_s_declaration(
    settings: dict[str, Any], sentences: list[str]
) -> None:
    assert problems_of(Typed, {"width": Int(1, 8)}, "loss", **settings) == sentences


def test_a_name_in_both_space_and_settings_is_refused_even_without_declarations() -> None:
    assert problems_of(Untyped, {"rows": Int(1, 2)}, rows=3) == [
        "space.rows: is already under 'trainable'; remove one of the two"
    ]


@pytest.mark.parametrize(
    ("metric", "hint"),
    [("acuracy", "did you mean 'accuracy'?"), ("error", "must be one of accuracy, loss")],
)
def test_the_metric_must_be_a_reported_one(metric: str, hint: str) -> None:
    assert problems_of(Typed, {"width": Int(1, 8)}, metric) == [
        f"objective.metric: {__name__}:Typed reports no '{metric}'; {hint}"
    ]


def test_a_config_class_that_is_no_model_is_refused() -> None:
    assert problems_of(Unmodelled, {"width": Int(1, 8)}) == [
        f"trainable: '{__name__}:Unmodelled'.Config must be a pydantic model, got {{'width': 3}}"
    ]


class Parallel(Untyped):
    most_gpus = 2


@pytest.mark.parametrize(
    ("kind", "most"),
    [(Untyped, 3), (train, 3), (Parallel, 2), ("mlp", 1), ("sklearn", 0)],
    ids=["class", "function", "two", "network", "estimator"],
)
def test_a_trial_gets_no_more_gpus_than_it_declares_usable(kind, most) -> None:
    spec = TrainableSpec(kind=kind)
    assert max(gpus for gpus in (0, 0.5, 1, 2, 3) if not spec.gpu_problems(gpus)) == most


def test_a_class_needs_a_number_of_iterations_and_a_function_does_not() -> None:
    space = SearchSpace({"width": Int(1, 8)})
    of_class = TrainableSpec(kind=Untyped).problems(space=space, metrics=[], iterations=None)
    assert [str(problem) for problem in of_class] == [
        "budget.iterations: must be given: a class trainable runs until it is stopped"
    ]
    assert TrainableSpec(kind=train).problems(space=space, metrics=[], iterations=None) == []


def test_a_trial_gets_hyperparameters_settings_and_both_seeds() -> None:
    spec = TrainableSpec(kind=Typed, settings={"rows": 5})
    assert spec.given({"width": 3}, seed=11, sweep_seed=7) == {
        "width": 3,
        "rows": 5,
        "seed": 11,
        "sweep_seed": 7,
    }


def test_a_function_gets_dotted_names_nested_on_request() -> None:
    spec = TrainableSpec.parse({"kind": train, "nested": True, "data.rows": 5})
    assert spec.given({"model.lr": 0.5, "x": 3}, seed=1, sweep_seed=2) == {
        "model": {"lr": 0.5},
        "x": 3,
        "data": {"rows": 5},
        "seed": 1,
        "sweep_seed": 2,
    }


def test_a_name_inside_the_value_of_another_is_refused_if_names_are_nested() -> None:
    spec = TrainableSpec.parse({"kind": train, "nested": True})
    found = spec.problems(
        space=SearchSpace({"model": 1, "model.lr": Float(0, 1)}), metrics=(), iterations=None
    )
    what = "space: 'model' is a value, so 'model.lr' cannot be inside it (nested: true)"
    assert list(map(str, found)) == [what]


@pytest.mark.parametrize(
    ("settings", "space", "found"),
    [
        ({"rows": 5}, {"kernel": "linear", "anything": 3}, []),
        ({"rows": 5}, {"kernel": Choice(["linear", "cubic"])}, ["space.kernel: must not be 'cubic'"]),
        ({"rows": 1}, {"depth": 2}, ["trainable.rows: one is not enough"]),
        ({"rows": 2}, {"depth": 2}, [f"trainable: {__name__}:Choosy.check() raised RuntimeError: no idea"]),
        ({"rows": 5}, {"depth": 0.5}, [f"space.depth: must be a whole number, got 0.5 ({__name__}:Choosy)"]),
    ],
    ids=["right", "choice", "setting", "crash", "type"],
)
def test_a_trainable_may_refuse_configurations_before_any_runs(settings, space, found) -> None:
    spec = TrainableSpec(kind=Choosy, settings=settings)
    problems = spec.problems(space=SearchSpace(space), metrics=[], iterations=1)
    assert [str(problem) for problem in problems] == found


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        ("tune.report({'loss': 1.0})", True),
        ("tune.report({'loss': 1.0}, checkpoint=tune.Checkpoint.from_directory('.'))", False),
    ],
)
def test_trials_that_will_start_over_are_announced(body, warned, tmp_path, monkeypatch):
    (tmp_path / "reporting.py").write_text(f"from ray import tune\ndef train(config):\n    {body}\n")
    monkeypatch.setattr("sys.path", list(sys.path))
    parts = {
        "trainable": f"{tmp_path}/reporting.py:train",
        "space": {"x": Float(0.0, 1.0)},
        "objective": {"metric": "loss", "mode": "min"},
        "budget": {"trials": 3, "iterations": 9},
    }
    warning = Sweep(**parts, scheduler="asha").repetition()
    assert (warning is not None) is warned
    assert (
        warning is None
        or "writes no checkpoints, so asha restarts paused trials from the start; report a checkpoint"
        in warning
    )
    assert Sweep(**parts, scheduler="asha_stop").repetition() is None
    sys.modules.pop("reporting")
