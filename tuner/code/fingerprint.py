"""``fingerprint``: of the user's code that a trainable is made of, to tell whether it has changed since."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any


def fingerprint(trainable: Any) -> dict[str, str]:
    """File, relative to the folder of the trainable's own -> hash of its text.

    Of all modules that are imported from that folder or below it: not of installed packages.
    """
    module = sys.modules.get(inspect.unwrap(trainable).__module__ if callable(trainable) else "")
    own = getattr(module, "__file__", None)
    if own is None or _is_installed(Path(own)):
        return {}
    # A module of a package is imported from the folder above the package.
    depth = (module.__name__.count(".") if module is not None else 0) + Path(own).name.startswith("__init__")
    root = Path(own).resolve().parents[depth]
    files = {Path(path).resolve() for each in list(sys.modules.values()) if (path := _file(each)) is not None}
    ours = sorted(path for path in files if path.is_relative_to(root) and not _is_installed(path))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in ours}


def differing(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files that have changed, or that only one of the two has been made of."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _file(module: Any) -> str | None:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) and path.endswith(".py") and Path(path).is_file() else None


def _is_installed(path: Path) -> bool:
    """Whether it belongs to Python, to an installed package or to this one."""
    own = Path(__file__).resolve().parents[1]
    places = [Path(sys.prefix), Path(sys.base_prefix), own, own.parent / "trainables"]
    return any(path.resolve().is_relative_to(place.resolve()) for place in places)
