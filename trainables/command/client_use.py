"""Find out whether a program's text uses ``tuner.client``, before the program runs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

_USES = re.compile(r"tuner\.(client|integrations)|\b(from|import)[ ]+(tuner\b|tuner_client)|TUNER_TRIAL")
"""A program that reports its results to the sweep contains one of these texts."""

_IMPORT = re.compile(r"^\s*(?:from\s+(\.*[\w.]*)\s+import|import\s+([\w., ]+))", re.MULTILINE)

_RUNS_OTHERS = re.compile(
    r"subprocess|importlib|runpy|multiprocessing|os\.(system|exec|spawn|popen)|__import__|\bexec\("
)
"""A Python script with one of these texts may run code that is not visible in it."""

_RUNS_PROGRAMS = re.compile(r"python|torchrun|accelerate|srun|docker|conda|\bR\b|Rscript|\./|\.sh\b|\.py\b")
"""A script of another language with one of these texts may start another program."""

_SUFFIXES = (".py", ".sh", ".bash", ".R", ".r", ".jl", ".pl", ".js", ".rb", ".lua")

_MOST_FILES = 50


def programs(files: Sequence[Path]) -> list[Path]:
    """Return those of a command's files that are programs, not data."""
    return [path for path in files if path.suffix in _SUFFIXES or os.access(path, os.X_OK)]


def texts(files: Sequence[Path]) -> list[str] | None:
    """Return the texts of a command's programs and of the modules that they import.

    ``None`` if the text of one is unknown, or there is no program.
    Modules of the standard library and installed packages do not count. They do not use ``tuner.client``.
    """
    found: dict[Path, str] = {}
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if len(found) == _MOST_FILES:
            return None
        found[path] = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix != ".py":
            if _RUNS_PROGRAMS.search(found[path]):
                return None
            continue
        if _RUNS_OTHERS.search(found[path]):
            return None
        for module in _imported(found[path]):
            if module.split(".")[0] == "tuner":
                continue
            if (imported := _file_of(module, path, files)) is not None:
                waiting.append(imported)
            elif not _is_installed(module):
                return None
    return list(found.values()) or None


def uses_client(text: str) -> bool:
    """Return whether a program with this text reports to the sweep."""
    return _USES.search(text) is not None


def _imported(text: str) -> Iterator[str]:
    for found in _IMPORT.finditer(text):
        for name in (found[1] or found[2]).split(","):
            if words := name.split():
                yield words[0]


def _file_of(module: str, importer: Path, scripts: Sequence[Path]) -> Path | None:
    """Return the file of a module beside the importing file, a script or the current folder."""
    parts = [part for part in module.split(".") if part]
    for folder in (importer.parent, *(script.parent for script in scripts), Path.cwd()):
        for count in range(len(parts), 0, -1):
            base = folder.joinpath(*parts[:count])
            for path in (base.with_suffix(".py"), base / "__init__.py"):
                if path.is_file():
                    return path
    return None


def _is_installed(module: str) -> bool:
    """Return whether a module belongs to Python or to an installed package, not to the user's own code."""
    top = module.split(".")[0]
    if not top or top in sys.stdlib_module_names:
        return bool(top)
    spec = PathFinder.find_spec(top)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    return any(str(place).startswith((sys.prefix, sys.base_prefix)) for place in places if place)
