"""``looked_up``: resolve a sweep file's paths, first in the file's folder, then in the current one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from tuner.code.modules import beside, path_beside
from tuner.errors import SpecError
from tuner.trainable import TrainableSpec

_NAMING = ("trainable", "searcher", "scheduler", "loggers")
"""The parts of a sweep that name code and files of the user."""

_PATHS = ("warm_start", "controller")
"""Settings of searchers that name files."""


def looked_up(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a sweep with its paths and ``file.py:Name`` rewritten to be valid from the current directory.

    A trainable's setting names files if its type in ``Settings`` is a path, or if the field's
    ``json_schema_extra`` has ``lookup: file``. A path that is not in ``folder`` is unchanged.
    """

    def part(value: Any) -> Any:
        if isinstance(value, str):
            return beside(value, folder)
        if isinstance(value, list):
            return [part(each) for each in value]
        if isinstance(value, dict):
            named = {key: path_beside(each, folder) for key, each in value.items() if _is_path(key, each)}
            kind = value.get("kind")
            return {**value, **named, **({"kind": beside(kind, folder)} if isinstance(kind, str) else {})}
        return value

    found = {key: part(value) if key in _NAMING else value for key, value in data.items()}
    if isinstance(found.get("trainable"), dict):
        with suppress(SpecError):  # reported later
            found["trainable"] = _with_settings(TrainableSpec.parse(found["trainable"]), folder)
    return found


def _is_path(key: str, value: Any) -> bool:
    return key in _PATHS and isinstance(value, str)


def _with_settings(spec: TrainableSpec, folder: Path) -> dict[str, Any]:
    changed = {
        name: new for name, value in spec.settings.items() if (new := _setting(value, folder)) != value
    }
    if not changed:
        return spec.to_dict()
    fields = getattr(getattr(spec.load(), "Settings", None), "model_fields", {})
    own = {name: new for name, new in changed.items() if name in fields and _names_files(fields[name])}
    return {**spec.to_dict(), **own}


def _setting(value: Any, folder: Path) -> Any:
    """Return a setting, one path or several, with paths that are valid from the current directory."""
    if isinstance(value, str):
        return path_beside(value, folder) if beside(value, folder) == value else beside(value, folder)
    if isinstance(value, list):
        return [_setting(each, folder) for each in value]
    return {key: _setting(each, folder) for key, each in value.items()} if isinstance(value, dict) else value


def _names_files(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    marked = isinstance(extra, dict) and extra.get("lookup") == "file"
    return marked or _is_of_paths(field.annotation)


def _is_of_paths(annotation: Any) -> bool:
    return annotation is Path or any(map(_is_of_paths, get_args(annotation)))
