"""The user's code: modules by name and files by path, each imported under one name in every process."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from tuner.errors import Problem, SpecError

LOADED_FILES: dict[str, Path] = {}
"""Name of a module that was loaded by the path of its file -> that path."""

_LOADED: dict[tuple[Path, int, int], Any] = {}

_NEEDED = frozenset(
    {"tuner", "trainables", "ray", "torch", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "optuna"}
    | {"cmaes", "hyperopt", "pydantic", "ruamel", "rich", "safetensors", "threadpoolctl", "cloudpickle"}
)
"""Modules that are imported while a sweep runs. One of the user's must not hide them."""


def load_module(name: str) -> Any:
    """Import a module by name, from the current directory too. Raises SpecError when that is not possible."""
    if os.getcwd() not in sys.path:
        _refuse_hiding(Path.cwd())
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise SpecError([Problem("", f"there is no module '{name}'")]) from None
        raise SpecError([Problem("", _cannot_import(name, error))]) from error
    except (Exception, SystemExit) as error:
        raise SpecError([Problem("", _cannot_import(name, error))]) from error


def load_file(path: Path, *, name: str | None = None) -> Any:
    """Import a file as the module ``name`` (``None``: its stem, if no other module has it).

    Its neighbours can be imported by it, as when Python runs the file. Raises SpecError when there is no such
    file, when it cannot be imported, and when it or a neighbour hides a library that is needed.
    """
    if not path.is_file():
        raise SpecError([Problem("", f"there is no file '{path}' (looked in {Path.cwd()})")])
    stamp = (path.resolve(), path.stat().st_mtime_ns, path.stat().st_size)
    if stamp in _LOADED:  # running a file twice would do twice what it does
        return _LOADED[stamp]
    if str(path.resolve().parent) not in sys.path:
        _refuse_hiding(path.resolve().parent)
        sys.path.insert(0, str(path.resolve().parent))
    name = name or _module_name(path.resolve())
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise SpecError([Problem("", _cannot_import(str(path), error))]) from error
    LOADED_FILES[name] = path.resolve()
    _LOADED[stamp] = module
    return module


def beside(kind: str, folder: Path) -> str:
    """A ``file.py:Name`` of a file in ``folder`` as it is found from the current directory; else as it is."""
    source, colon, name = kind.rpartition(":")
    path = folder / source
    if not colon or not source.endswith(".py") or Path(source).is_absolute() or not path.is_file():
        return kind
    path = path.resolve()
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{name}"


def _module_name(path: Path) -> str:
    """The file's stem; where a module of another file goes by it already, the stem and the path hashed."""
    taken = sys.modules.get(path.stem)
    if taken is None or getattr(taken, "__file__", None) == str(path):
        return path.stem
    return f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _refuse_hiding(folder: Path) -> None:
    """Raise SpecError if importing from a folder first would hide a library that is needed."""
    hidden = next((entry for entry in sorted(folder.iterdir()) if _hides(entry)), None)
    if hidden is None:
        return
    kind = "folder" if hidden.is_dir() else "file"
    what = f"the {kind} '{hidden}' hides the library '{hidden.stem}', which is needed here; rename the {kind}"
    raise SpecError([Problem("", what)])


def _hides(entry: Path) -> bool:
    if entry.name.removesuffix(".py") not in _NEEDED:
        return False
    is_module = entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py")))
    spec = importlib.util.find_spec(entry.stem) if is_module else None
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec is not None else []
    # It may be that very library, in a clone of it.
    return is_module and not any(place and Path(place).is_relative_to(entry.parent) for place in places)


def _cannot_import(name: str, error: BaseException) -> str:
    return f"'{name}' cannot be imported: {type(error).__name__}: {error}"
