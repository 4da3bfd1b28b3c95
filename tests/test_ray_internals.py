"""``tuner.ray_internals`` lists everything that tuner uses of Ray, and each name in it exists."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest

from tuner.ray_internals import OVERRIDDEN, READ_IN, USED
from tuner.spec import locate

ROOT = Path(__file__).resolve().parent.parent


def class_of(name):
    return locate(name, {}, what="class")


def rays(cls):
    """Return the source of Ray's classes from which one of ours inherits."""
    return "".join(inspect.getsource(base) for base in cls.__mro__[1:] if base.__module__.startswith("ray."))


def touched(cls):
    """Return the names of ``self`` that a class uses and does not define itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    own = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "self"}
    defined = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)} - set(
        re.findall(r"self\.(\w+)", rays(cls))
    )
    ours = [base for base in cls.__mro__ if base.__module__.startswith("tuner.")]
    declared = {name for base in ours for name in (*vars(base), *inspect.get_annotations(base))}
    return own - defined - declared


def test_the_list_is_for_the_installed_version_of_ray():
    assert version("ray") == READ_IN, (
        "read the names in tuner.ray_internals in the new source, then set READ_IN"
    )


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_every_overridden_method_exists_in_ray(name):
    cls = class_of(name)
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("ray.")]
    found = {own for own in vars(cls) if any(own in vars(base) for base in bases)}
    assert {own for own in found if not own.startswith("__")} == {*OVERRIDDEN[name]}


@pytest.mark.parametrize("name", USED)
def test_every_used_name_is_listed_and_exists_in_ray(name):
    cls = class_of(name)
    assert touched(cls) == {*USED[name]}
    source = rays(cls)
    assert [used for used in USED[name] if not re.search(rf"\b{used}\b", source)] == []


def test_only_one_package_imports_private_modules_of_ray():
    private = re.compile(r"(from|import) ray[\w.]*\._|ray\._private|import _\w+$", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tuner").rglob("*.py")
        if any(private.search(line) and "ray" in line for line in path.read_text().splitlines())
    ]
    assert sorted(found) == ["tuner/ray_internals/core.py", "tuner/ray_internals/tune.py"]


def test_ray_tune_is_imported_without_modules_that_it_only_mentions():
    code = """
        import sys
        from tuner.code.importing import import_tune
        import_tune()
        assert not {"pandas", "ray.data"} & {*sys.modules}
        import ray
        from ray.tune import result_grid
        frame = result_grid.pd.DataFrame({"a": [1]})
        import pandas
        assert type(frame) is pandas.DataFrame
        assert sys.modules["pandas"].__file__ and ray.data.Dataset.__name__ == "Dataset"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=ROOT)
