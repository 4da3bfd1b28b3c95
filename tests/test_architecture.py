"""The shape of the code: layers, light imports, exported names, error classes, the command line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tuner
import tuner.errors

ROOT = Path(__file__).resolve().parent.parent

# The parts of tuner from the bottom to the top. Each may import only parts of lower layers.
LAYERS = (
    {"errors"},
    {"client", "code", "contract", "pareto", "ray_internals", "synonyms"},
    {"hints", "integrations", "storage"},
    {"spec"},
    {"objective", "space"},
    {"amounts", "journal", "logger"},
    {"declarations", "resources", "schedulers", "searchers", "trust", "yaml12"},
    {"trainable"},
    {"components", "lookup", "rules"},
    {"sweep"},
    {"report", "state", "worker"},
    {"live", "simulation", "trackers"},
    {"cluster"},
    {"evaluation", "export", "model_selection", "schema"},
    {"listing", "ray_tune", "templates"},
    {"cli", "testing"},
)
ON_RAY = {"cluster", "ray_internals", "storage", "worker"}
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
# A searcher may be a model too. It then has a separate file, which is imported only to build it.
USED_BY = {
    "tuner/searchers/_controller.py": {"torch"},
    "tuner/searchers/_forest.py": {"sklearn"},
    # `TunerSearchCV` is an estimator of scikit-learn.
    "tuner/model_selection/_evaluation.py": {"sklearn"},
    "tuner/model_selection/_results.py": {"sklearn"},
    "tuner/model_selection/_search.py": {"sklearn"},
    "tuner/model_selection/_settings.py": {"sklearn"},
}
TEMPLATES = {*(ROOT / "tuner" / "templates").glob("*/")}  # templates for users, not our code
HEAVY = ("ray", "torch", "optuna", "hyperopt", "sklearn", "pandas")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py") if not set(path.parents) & TEMPLATES)


def offenders(paths: list[Path], problem: Callable[[Path], Any]) -> dict[str, Any]:
    """Return file -> what ``problem`` finds in it, for the files in which it finds something."""
    found = {str(path.relative_to(ROOT)): problem(path) for path in paths}
    return {path: what for path, what in found.items() if what}


def test_each_part_imports_only_lower_layers():
    def higher(path):
        part = path.relative_to(ROOT / "tuner").parts[0].removesuffix(".py")
        if part == "__init__":
            return set()
        used = {name.split(".")[1] for name in imports(path) if name.startswith("tuner.")} & LAYER.keys()
        return {other for other in used - {part} if LAYER[other] >= LAYER[part]}

    assert offenders(files("tuner"), higher) == {}


@pytest.mark.parametrize("path", files("tuner/integrations"), ids=lambda path: path.stem)
def test_integrations_import_nothing_of_tuner_but_its_client(path):
    used = {tuple(name.split(".")[:2]) for name in imports(path) if name.split(".")[0] == "tuner"}
    assert used <= {("tuner",), ("tuner", "client"), ("tuner", "integrations")}


def test_every_part_has_a_layer():
    parts = {path.relative_to(ROOT / "tuner").parts[0].removesuffix(".py") for path in files("tuner")}
    assert parts - {"__init__"} == LAYER.keys()


def test_tuner_imports_no_trainable():
    def trainables(path):
        models = {"trainables", "torch", "sklearn"} - USED_BY.get(str(path.relative_to(ROOT)), set())
        return {name for name in imports(path) if name.split(".")[0] in models}

    assert offenders(files("tuner"), trainables) == {}


def test_trainables_import_no_tuner():
    def tuner(path):
        names = {name for name in imports(path) if name.split(".")[0] == "tuner"}
        return {name for name in names if name != "tuner" and not name.startswith("tuner.client")}

    assert offenders(files("trainables"), tuner) == {}


def test_only_the_cluster_package_starts_or_joins_a_cluster():
    def ray(path):
        used = {name for name in imports(path) if name.split(".")[0] == "ray"}
        starts = {"ray.init"} if "ray.init" in path.read_text(encoding="utf-8") else set()
        return {name for name in used if not name.startswith("ray.tune")} | starts

    cluster = {"cluster", "ray_internals", "storage", "worker"}
    assert offenders([path for path in files("tuner") if not cluster & {*path.parts}], ray) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["schema"],
        ["init", "--list"],
        *(["list", what] for what in ("sweep", "searchers", "schedulers", "trainables", "trackers")),
    ],
    ids=" ".join,
)
def test_the_command_line_answers_without_heavy_libraries(arguments):
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
def test_each_import_is_light(module):
    heavy = (*HEAVY, "pytest", "hypothesis")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_a_worker_imports_nothing_that_only_the_driver_needs():
    """The imports delay the start of the worker's process."""
    code = (
        "import sys, tuner.worker.worker; print([name for name in sys.modules if name.startswith('tuner.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    parts = {name.split(".")[1] for name in ast.literal_eval(done.stdout)}
    light = {"errors", "hints", "objective", "spec", "synonyms"}
    assert parts == light | {"client", "code", "contract", "ray_internals", "storage", "worker"}


def test_every_exported_name_exists_and_none_is_private():
    exported = vars(tuner)["__all__"]
    assert exported == sorted(exported)
    assert all(hasattr(tuner, name) and not name.startswith("_") for name in exported)


def test_errors_form_one_tree_and_its_picture_names_all():
    errors = [
        value
        for value in vars(tuner.errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert all(issubclass(error, tuner.errors.TunerError) for error in errors)
    assert all(error.__name__ in tuner.errors.__doc__ for error in errors)


def test_broad_excepts_exist_only_at_the_boundaries_to_user_code_and_ray():
    broad = {
        f"{path.relative_to(ROOT)}"
        for package in ("tuner", "trainables")
        for path in files(package)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    }
    assert broad <= {
        "tuner/client.py",
        "tuner/code/modules.py",
        "tuner/logger.py",
        "tuner/declarations.py",
        "tuner/trainable.py",
        "tuner/cluster/connection.py",
        "tuner/cluster/loggers.py",
        "tuner/model_selection/_sequential.py",
        "tuner/trackers/service.py",
        "tuner/worker/function.py",
        "tuner/worker/setup.py",
        "tuner/worker/process.py",
        "tuner/worker/session.py",
        "trainables/torch/trainable.py",
        "trainables/sklearn/building.py",
        "trainables/stacking/stack.py",
    }


def test_the_command_line_is_frozen():
    from tuner.cli import parser as command_line

    verbs: Any = next(
        action for action in command_line()._actions if action.dest == "verb" or action.choices
    ).choices
    found = {
        verb: sorted(
            option
            for action in parser._actions
            for option in (action.option_strings or [action.dest])
            if option not in ("-h", "--help", "--debug", "--json")
        )
        for verb, parser in verbs.items()
    }
    common = [
        {option for action in parser._actions for option in action.option_strings}
        for parser in verbs.values()
    ]
    assert all({"--json", "--debug"} <= options for options in common)
    assert found == {
        "init": ["--list", "--out", "kind"],
        "check": ["--set", "sweep"],
        "run": ["--address", "--name", "--out", "--set", "--verbose", "sweep"],
        "resume": ["--address", "--trust", "--verbose", "results"],
        "stop": ["results"],
        "plan": ["--address", "--curves", "--out", "--set", "--workers", "sweep"],
        "report": ["--decisions", "--errors", "--format", "--limit", "--metrics", "--replay", "results"],
        "evaluate": ["--address", "--repeats", "--top", "--trust", "results"],
        "export": ["--out", "--trust", "results"],
        "list": ["what"],
        "schema": [],
        "mcp": [],
        "logs": ["--rank", "results", "trial"],
        "sync": ["--set", "--to", "--trust", "results"],
    }


SHORT = [*files("tuner"), *files("trainables")]


def test_files_and_functions_stay_short():
    def long(path):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        functions = [node for node in ast.walk(parsed(path)) if isinstance(node, kinds)]
        names = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 80]
        lines = len(path.read_text(encoding="utf-8").splitlines())
        return [*names, *([f"{lines} lines"] if lines > 400 else [])]

    assert offenders(SHORT, long) == {}


def test_every_public_class_name_is_unique():
    names = [
        node.name
        for path in SHORT
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    # Each module of tuner.integrations has the callback of its library under this name.
    assert sorted({name for name in names if names.count(name) > 1} - {"TunerCallback"}) == []


# For each package of trainables, the others that it may import; all are above it in this table.
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
    "distributed": {"training", "layers", "configs"},
    "torch": {
        "distributed",
        "stacking",
        "training",
        "layers",
        "data",
        "configs",
        "process_state",
        "atomic",
        "former_paths",
    },
    "models": {"torch", "layers", "data", "configs"},
    "command": {"configs"},
    "sklearn": {"data", "configs", "atomic"},
}


def test_packages_of_trainables_import_only_lower_ones():
    def higher(path):
        room = path.relative_to(ROOT / "trainables").parts[0].removesuffix(".py")
        used = {name.split(".")[1] for name in imports(path) if name.startswith("trainables.")}
        return (used & ROOMS.keys()) - {room} - ROOMS[room]

    assert offenders(files("trainables"), higher) == {}
    for number, (room, lower) in enumerate(ROOMS.items()):
        assert lower <= set([*ROOMS][:number]), room


def test_no_module_of_trainables_holds_state():
    """State belongs in a ``ProcessState``, so that two sweeps of one process do not share it unnoticed."""
    stores = r"(\{\}|\[\]|(\w+\.)?(set|dict|list|\w*(Dict|Dictionary|deque|Counter))\(\))"
    caches = r"(functools\.)?(lru_)?cache(\(.*\))?"

    def state(path):
        tree = parsed(path)
        called = [ast.unparse(value) for node in tree.body if (value := getattr(node, "value", None))]
        decorators = [
            ast.unparse(decorator)
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            for decorator in node.decorator_list
        ]
        return [
            *("global" for node in ast.walk(tree) if isinstance(node, ast.Global)),
            *(text for text in called if re.fullmatch(stores, text)),
            *(text for text in decorators if re.fullmatch(caches, text)),
        ]

    assert offenders(files("trainables"), state) == {}
