"""``Spec`` (unknown keys, types, bounds), pydantic's errors as sentences, and ``locate``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from tuner import Objective
from tuner.code.modules import LOADED_FILES
from tuner.errors import Problem, SpecError
from tuner.spec import Count, Number, Seed, Spec, did_you_mean, locate, nearest, problems_of


class Engine(Spec):
    rate: Number = 0.5
    rounds: Count = 1


class Car(Spec):
    colour: Literal["red", "blue"]
    engine: Engine = Engine()
    seed: Seed = 0
    electric: Annotated[bool, Field(strict=True)] = False
    weight: Annotated[Number, Field(gt=0, lt=2.5)] = 1


class Theirs(BaseModel):
    """A model of the user with its own checks."""

    width: Annotated[int, Field(multiple_of=8)] = 8
    label: Annotated[str, Field(min_length=2)] = "ab"
    power: int = 1

    @field_validator("power")
    @classmethod
    def _is_odd(cls, power: int) -> int:
        if power % 2 == 0:
            raise ValueError(f"must be odd, got {power}")
        return power


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


def refusal_of(call: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(SpecError) as refusal:
        call(*arguments, **keywords)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "colour: must be given"),
        ({"color": "red"}, "unknown key 'color'; did you mean 'colour'?"),
        (
            {"colour": "red", "doors": 4},
            "unknown key 'doors'; must be one of colour, electric, engine, seed, weight",
        ),
        ({"colour": "rad"}, "colour: unknown value 'rad'; did you mean 'red'?"),
        ({"colour": "green"}, "colour: unknown value 'green'; must be one of blue, red"),
        ({"colour": "red", "engine": {"rats": 1}}, "engine: unknown key 'rats'; did you mean 'rate'?"),
        ({"colour": "red", "engine": "V8"}, "engine: must be a mapping, got the text 'V8'"),
        ({"colour": "red", "engine": None}, "engine: must be a mapping, got nothing"),
        ({"colour": "red", "engine": {"rate": "1e-4"}}, "engine.rate: must be a number, got the text '1e-4'"),
        ({"colour": "red", "engine": {"rate": True}}, "engine.rate: must be a number, got true"),
        ({"colour": "red", "engine": {"rate": float("inf")}}, "engine.rate: must be a finite number, "
         "got inf"),
        ({"colour": "red", "engine": {"rounds": 0}}, "engine.rounds: must be at least 1, got 0"),
        ({"colour": "red", "engine": {"rounds": 2.0}}, "engine.rounds: must be a whole number, got 2.0"),
        ({"colour": "red", "seed": -1}, "seed: must be at least 0, got -1"),
        ({"colour": "red", "seed": 2**32}, "seed: must be below 4294967296, got 4294967296"),
        ({"colour": "red", "electric": 1}, "electric: must be true or false, got 1"),
        ({"colour": "red", "weight": 0}, "weight: must be above 0, got 0"),
        ({"colour": "red", "weight": 3}, "weight: must be below 2.5, got 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_wrong_input_is_refused_with_a_sentence(given: dict[str, Any], sentence: str) -> None:
    assert refusal_of(Car, **given) == sentence


def test_every_mistake_of_a_part_is_reported() -> None:
    with pytest.raises(SpecError) as refusal:
        Car(colour="green", engine={"rate": None, "rouns": 1}, seed=-1)
    assert refusal.value.problems == (
        Problem("colour", "unknown value 'green'; must be one of blue, red"),
        Problem("engine.rate", "must be a number, got nothing"),
        Problem("engine", "unknown key 'rouns'; did you mean 'rounds'?"),
        Problem("seed", "must be at least 0, got -1"),
    )


def test_a_missing_key_is_reported_as_well_as_an_unrelated_unknown_key() -> None:
    known = "colour, electric, engine, seed, weight"
    assert refusal_of(Car, doors=4) == (f"colour: must be given\nunknown key 'doors'; must be one of {known}")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"width": 9}, "width: must be a multiple of 8, got 9"),
        ({"width": 8.5}, "width: must be a whole number, got 8.5"),
        ({"label": "a"}, "label: must have at least 2 characters, got the text 'a'"),
        ({"power": 2}, "power: must be odd, got 2"),
    ],
)
def test_errors_of_a_user_s_model_have_the_same_wording(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as error:
        Theirs(**given)
    assert list(map(str, problems_of(error.value, Theirs))) == [sentence]


def test_a_spec_error_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="colour: must be given"):
        Car()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optunna", "; did you mean 'optuna'?"),
        ("Grid", "; did you mean 'grid'?"),
        ("bayes", "; must be one of grid, optuna, random"),
        (7, "; must be one of grid, optuna, random"),
    ],
)
def test_a_hint_is_the_nearest_name_or_all_of_them(name: Any, hint: str) -> None:
    assert did_you_mean(name, ["random", "optuna", "grid"]) == hint


def test_there_is_no_hint_without_known_names() -> None:
    assert did_you_mean("x", []) == ""
    assert nearest("x", []) is None


def test_a_problem_is_located_relative_to_the_enclosing_part() -> None:
    assert str(Problem("lr", "is wrong").inside("space")) == "space.lr: is wrong"
    assert str(Problem("", "is wrong").inside("space").inside("")) == "space: is wrong"
    assert str(Problem("", "is wrong")) == "is wrong"


@pytest.mark.usefixtures("_imports")
class TestLocate:
    def test_a_short_name_is_looked_up_in_the_table(self) -> None:
        assert locate("car", {"car": f"{__name__}:Car"}, what="vehicle") is Car

    def test_an_unknown_short_name_gets_a_hint(self) -> None:
        table = {"car": "a:B", "bus": "a:C"}
        assert refusal_of(locate, "cat", table, what="vehicle") == (
            "unknown vehicle 'cat'; did you mean 'car'?"
        )
        assert refusal_of(locate, "tram", table, what="vehicle") == (
            "unknown vehicle 'tram'; must be one of bus, car"
        )

    def test_an_attribute_may_be_nested(self) -> None:
        assert locate("os:path.join", {}, what="function")("a", "b") == str(Path("a", "b"))

    def test_a_file_is_loaded_by_its_path(self, tmp_path: Path) -> None:
        path = tmp_path / "my_model.py"
        path.write_text("def train(config): return 5\n")
        train = locate(f"{path}:train", {}, what="trainable")
        assert train({}) == 5
        assert train.__module__ in LOADED_FILES

    def test_a_path_is_relative_to_the_current_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "my_model.py").write_text("answer = 42\n")
        monkeypatch.chdir(tmp_path)
        assert locate("models/my_model.py:answer", {}, what="trainable") == 42
        assert locate("./models/my_model.py:answer", {}, what="trainable") == 42

    def test_a_file_can_import_its_neighbours(self, tmp_path: Path) -> None:
        (tmp_path / "my_layers.py").write_text("width = 3\n")
        (tmp_path / "my_model.py").write_text("from my_layers import width\n")
        assert locate(f"{tmp_path / 'my_model.py'}:width", {}, what="trainable") == 3

    def test_a_module_in_the_current_directory_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my_package").mkdir()
        (tmp_path / "my_package" / "my_model.py").write_text("answer = 42\n")
        monkeypatch.chdir(tmp_path)
        assert locate("my_package.my_model:answer", {}, what="trainable") == 42

    def test_two_files_of_one_name_are_two_modules(self, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "my_model.py").write_text(f"class Model: folder = '{folder}'\n")
        one, two = (
            locate(f"{tmp_path / f / 'my_model.py'}:Model", {}, what="trainable") for f in ("one", "two")
        )
        assert (one.folder, two.folder) == ("one", "two")
        assert sys.modules[one.__module__].Model is one
        assert sys.modules[two.__module__].Model is two

    def test_a_file_does_not_replace_an_imported_library(self, tmp_path: Path) -> None:
        library = sys.modules["pytest"]
        (tmp_path / "pytest.py").write_text("answer = 42\n")
        assert locate(f"{tmp_path / 'pytest.py'}:answer", {}, what="trainable") == 42
        assert sys.modules["pytest"] is library

    @pytest.mark.parametrize(
        ("body", "what"),
        [
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("raise KeyError('lr')", "KeyError: 'lr'"),
            ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
            ("def train(:", "SyntaxError: invalid syntax (my_broken.py, line 1)"),
            ("raise SystemExit(2)", "SystemExit: 2"),
            ("class Mine(BaseException): pass\nraise Mine('why')", "Mine: why"),
            (
                "class Mine(Exception):\n    def __str__(self): return 1\nraise Mine",
                "Mine: <exception str() failed>",
            ),
            ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ],
    )
    def test_an_error_in_the_user_s_code_is_reported_with_type_and_text(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, what: str
    ) -> None:
        path = tmp_path / "my_broken.py"
        path.write_text(body + "\n")
        monkeypatch.chdir(tmp_path)
        assert (
            refusal_of(locate, f"{path}:train", {}, what="trainable")
            == f"'{path}' cannot be imported: {what}"
        )
        assert refusal_of(locate, "my_broken:train", {}, what="trainable") == (
            f"'my_broken' cannot be imported: {what}"
        )
        assert "my_broken" not in sys.modules

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("no_such.module:X", "there is no module 'no_such.module'"),
            ("json.no_such:X", "there is no module 'json.no_such'"),
            ("json:dupms", "'json' has no 'dupms'; did you mean 'dumps'?"),
            (":X", "must be package.module:Name or path/to/file.py:Name, got ':X'"),
            ("json:", "must be package.module:Name or path/to/file.py:Name, got 'json:'"),
            (".json:X", "must be package.module:Name or path/to/file.py:Name, got '.json:X'"),
        ],
    )
    def test_a_missing_object_is_named(self, name: str, sentence: str) -> None:
        assert refusal_of(locate, name, {}, what="trainable") == sentence

    def test_a_missing_file_is_named_with_the_folders_searched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert refusal_of(locate, "models/mine.py:X", {}, what="trainable") == (
            f"there is no file 'models/mine.py' (looked in {tmp_path})"
        )


def test_positional_arguments_get_their_names():
    message = r"Objective takes keyword arguments only, as in Objective\(metric='loss', mode='min'\)"
    with pytest.raises(TypeError, match=message):
        Objective("loss", "min")  # type: ignore[call-arg]
