"""``fingerprint``: hashes of a trainable's code, to detect changes before a sweep is resumed."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuner.code.functions import innermost


def fingerprint(trainable: Any, files: Iterable[Path] = ()) -> dict[str, str]:
    """Return a hash for each source file of the trainable, by its path relative to the import folder.

    This covers all modules imported from the trainable's folder or below it, except installed packages.
    ``files`` are further files, by their paths relative to the current folder.
    """
    return {**_modules_of(trainable), **{os.path.relpath(path): _digest(path) for path in files}}


def _modules_of(trainable: Any) -> dict[str, str]:
    module = sys.modules.get(innermost(trainable).__module__ if callable(trainable) else "")
    main = getattr(module, "__file__", None)
    if main is None or _is_installed(Path(main)):
        return {}
    # A module of a package is imported from the folder above the package.
    depth = (module.__name__.count(".") if module is not None else 0) + Path(main).name.startswith("__init__")
    root = Path(main).resolve().parents[depth]
    files = {Path(path).resolve() for each in list(sys.modules.values()) if (path := _file(each)) is not None}
    sources = sorted(path for path in files if path.is_relative_to(root) and not _is_installed(path))
    return {str(path.relative_to(root)): _digest(path) for path in sources}


def differing(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return the files that changed, or that appear in only one of two fingerprints."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _file(module: Any) -> str | None:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) and path.endswith(".py") and Path(path).is_file() else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _is_installed(path: Path) -> bool:
    """Return whether a file belongs to Python, an installed package or this package."""
    package = Path(__file__).resolve().parents[1]
    folders = [Path(sys.prefix), Path(sys.base_prefix), package, package.parent / "trainables"]
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)
