"""The shape of the code: layers, light imports, exported names, the tree of errors, the command line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tuner
import tuner.errors

ROOT = Path(__file__).resolve().parent.parent

# What each part of tuner may import of the others.
ALLOWED = {
    "errors": set(),
    "client": set(),
    "importing": set(),
    "functions": set(),
    "modules": {"errors"},
    "spec": {"modules", "errors"},
    "space": {"spec", "errors"},
    "objective": {"spec", "errors"},
    "pareto": set(),
    "disk": {"errors"},
    "lock": {"disk", "errors"},
    "journal": {"disk", "lock", "objective", "errors"},
    "trust": {"journal", "errors"},
    "searchers": {"journal", "space", "objective", "spec", "errors"},
    "schedulers": {"journal", "space", "objective", "pareto", "spec", "errors"},
    "trainable": {"space", "spec", "functions", "modules", "importing", "errors"},
    "lookup": {"trainable", "modules", "errors"},
    "logger": {"spec", "errors"},
    "yaml12": {"spec", "errors"},
    "rules": {"searchers", "schedulers", "trainable", "logger", "space", "objective", "spec", "errors"},
    "sweep": {
        "rules",
        "yaml12",
        "searchers",
        "schedulers",
        "trainable",
        "logger",
        "lookup",
        "space",
        "objective",
        "modules",
        "spec",
        "errors",
    },
    "report": {"journal", "objective", "pareto", "space", "errors"},
    "trackers": {"report"},
    "state": {"journal", "sweep", "searchers", "space", "objective", "pareto", "errors"},
    "simulation": {
        "state",
        "report",
        "journal",
        "sweep",
        "searchers",
        "schedulers",
        "space",
        "objective",
        "errors",
    },
    "engine": {
        "report",
        "journal",
        "lock",
        "state",
        "yaml12",
        "trust",
        "disk",
        "sweep",
        "searchers",
        "schedulers",
        "trainable",
        "space",
        "objective",
        "modules",
        "spec",
        "importing",
        "errors",
    },
    "export": {"report", "trainable", "trust", "modules", "errors"},
    "listing": {"searchers", "schedulers", "trainable", "spec"},
    "cli": {"engine", "simulation", "export", "listing", "report", "sweep", "spec", "errors"},
    "testing": {
        "engine",
        "simulation",
        "sweep",
        "searchers",
        "schedulers",
        "trainable",
        "space",
        "objective",
        "spec",
        "errors",
    },
}
# A searcher may be a model itself, in a file of its own that is imported when it is built.
USED_BY = {"tuner/searchers/_controller.py": {"torch"}, "tuner/searchers/_forest.py": {"sklearn"}}
HEAVY = ("ray", "torch", "optuna", "hyperopt", "sklearn", "pandas")


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", files("tuner"), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_downwards(path):
    part = path.relative_to(ROOT / "tuner").parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in imports(path) if name.startswith("tuner.")}
    parts = {other.relative_to(ROOT / "tuner").parts[0].removesuffix(".py") for other in files("tuner")}
    assert part == "__init__" or (used & parts) - {part} <= ALLOWED[part]


@pytest.mark.parametrize("path", files("tuner"), ids=lambda path: str(path.relative_to(ROOT)))
def test_tuner_knows_no_model(path):
    allowed = USED_BY.get(str(path.relative_to(ROOT)), set())
    models = {"trainables", "torch", "sklearn"} - allowed
    assert not {name for name in imports(path) if name.split(".")[0] in models}


@pytest.mark.parametrize("path", files("trainables"), ids=lambda path: str(path.relative_to(ROOT)))
def test_trainables_know_no_tuner(path):
    assert not {name for name in imports(path) if name.split(".")[0] == "tuner"}


@pytest.mark.parametrize(
    "path",
    [path for path in files("tuner") if "engine" not in path.parts],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_only_the_engine_starts_or_joins_a_cluster(path):
    used = {name for name in imports(path) if name.split(".")[0] == "ray"}
    assert all(name.startswith("ray.tune") for name in used)
    assert "ray.init" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["list", "searchers"], ["list", "schedulers"], ["list", "trainables"]],
    ids=" ".join,
)
def test_command_line_answers_without_heavy_libraries(arguments):
    code = f"""
import sys
from tuner.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.rstrip().endswith("LOADED []")


@pytest.mark.parametrize("module", ["tuner", "tuner.testing"])
def test_import_is_light(module):
    heavy = (*HEAVY, "pytest", "hypothesis")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_worker_imports_nothing_that_only_the_driver_needs():
    """Its process waits for it."""
    code = (
        "import sys, tuner.engine.worker; print([name for name in sys.modules if name.startswith('tuner.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    parts = {name.split(".")[1] for name in ast.literal_eval(done.stdout)}
    assert parts == {"disk", "engine", "errors", "importing", "lock", "modules", "objective", "spec"}


def test_every_exported_name_is_there_and_nothing_private_is():
    assert tuner.__all__ == sorted(tuner.__all__)
    assert all(hasattr(tuner, name) and not name.startswith("_") for name in tuner.__all__)


def test_errors_are_one_tree_and_its_picture_names_them_all():
    errors = [
        value
        for value in vars(tuner.errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert all(issubclass(error, tuner.errors.TunerError) for error in errors)
    assert all(error.__name__ in tuner.errors.__doc__ for error in errors)


def test_exceptions_are_caught_broadly_at_the_boundaries_to_user_code_and_ray_only():
    broad = {
        f"{path.relative_to(ROOT)}"
        for package in ("tuner", "trainables")
        for path in files(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    }
    assert broad <= {
        "tuner/modules.py",
        "tuner/logger.py",
        "tuner/trainable.py",
        "tuner/engine/cluster.py",
        "tuner/engine/function.py",
        "tuner/engine/loggers.py",
        "tuner/engine/recipe.py",
        "tuner/engine/process.py",
        "trainables/torch/trainable.py",
        "trainables/sklearn/fitting.py",
        "trainables/stacking/stack.py",
    }


def test_command_line_is_frozen():
    from tuner.cli import _parser

    verbs = next(action for action in _parser()._actions if action.dest == "verb" or action.choices).choices
    found = {
        verb: sorted(
            option
            for action in parser._actions
            for option in (action.option_strings or [action.dest])
            if option not in ("-h", "--help", "--debug")
        )
        for verb, parser in verbs.items()
    }
    assert found == {
        "check": ["--set", "sweep"],
        "run": ["--address", "--json", "--name", "--out", "--set", "--verbose", "sweep"],
        "resume": ["--address", "--json", "--trust", "--verbose", "results"],
        "plan": ["--address", "--curves", "--format", "--out", "--set", "--workers", "sweep"],
        "report": ["--decisions", "--errors", "--format", "--limit", "--metrics", "--replay", "results"],
        "evaluate": ["--address", "--repeats", "--top", "--trust", "results"],
        "export": ["--out", "--trust", "results"],
        "list": ["what"],
        "logs": ["results", "trial"],
    }


# What each room of trainables may import of the others, which are all above it in this table.
ROOMS = {
    "atomic": set(),
    "former_paths": set(),
    "process_state": set(),
    "__init__": {"former_paths"},
    "configs": set(),
    "data": {"configs", "process_state"},
    "layers": {"configs"},
    "training": {"layers", "configs"},
    "stacking": {"training", "layers", "configs"},
    "torch": {"stacking", "training", "layers", "data", "configs", "process_state", "atomic", "former_paths"},
    "models": {"torch", "layers", "data", "configs"},
    "sklearn": {"data", "configs", "atomic"},
}


@pytest.mark.parametrize("path", files("trainables"), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_between_the_rooms_of_trainables_point_downwards(path):
    room = path.relative_to(ROOT / "trainables").parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in imports(path) if name.startswith("trainables.")}
    assert (used & ROOMS.keys()) - {room} <= ROOMS[room]
    assert ROOMS[room] <= set([*ROOMS][: [*ROOMS].index(room)])


@pytest.mark.parametrize("path", files("trainables"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_of_trainables_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 80, node.name


@pytest.mark.parametrize("path", files("trainables"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_of_trainables_holds_state(path):
    """It belongs into a ``ProcessState``, so that two sweeps of a process do not share it unseen."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    called = [getattr(node, "value", None) for node in tree.body]
    stores = r"(\{\}|\[\]|(\w+\.)?(set|dict|list|\w*(Dict|Dictionary|deque|Counter))\(\))"
    assert not [ast.unparse(value) for value in called if value and re.fullmatch(stores, ast.unparse(value))]
    decorators = [
        ast.unparse(decorator)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for decorator in node.decorator_list
    ]
    assert not [name for name in decorators if re.fullmatch(r"(functools\.)?(lru_)?cache(\(.*\))?", name)]


def test_public_classes_of_trainables_have_names_of_their_own():
    names = [
        node.name
        for path in files("trainables")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(set(names)) == sorted(names)
