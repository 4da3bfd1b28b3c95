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
"""The parts of a sweep that can name the user's code and files."""

_PATHS = ("warm_start", "controller")
"""Settings of searchers that name files."""


def looked_up(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a sweep with its paths and ``file.py:Name`` rewritten to be valid from the current directory.

    A trainable's setting names files if its type in ``Settings`` is a path, or if the field's
    ``json_schema_extra`` has ``lookup: file``. A path that is not in ``folder`` is unchanged.
    """

    def rewrite(value: Any) -> Any:
        if isinstance(value, str):
            return beside(value, folder)
        if isinstance(value, list):
            return [rewrite(each) for each in value]
        if isinstance(value, dict):
            paths = {key: path_beside(each, folder) for key, each in value.items() if _is_path(key, each)}
            code = {
                key: beside(value[key], folder)
                for key in ("kind", "objective")
                if isinstance(value.get(key), str)
            }
            return {**value, **paths, **code}
        return value

    found = {key: rewrite(value) if key in _NAMING else value for key, value in data.items()}
    if isinstance(found.get("trainable"), dict):
        with suppress(SpecError):  # the check of the sweep reports it
            found["trainable"] = _rewrite_settings(TrainableSpec.parse(found["trainable"]), folder)
    return found


def _is_path(key: str, value: Any) -> bool:
    return key in _PATHS and isinstance(value, str)


def _rewrite_settings(spec: TrainableSpec, folder: Path) -> dict[str, Any]:
    changed = {
        name: new for name, value in spec.settings.items() if (new := _rewrite_paths(value, folder)) != value
    }
    if not changed:
        return spec.to_dict()
    fields = getattr(getattr(spec.load(), "Settings", None), "model_fields", {})
    files = {name: new for name, new in changed.items() if name in fields and _names_files(fields[name])}
    return {**spec.to_dict(), **files}


def _rewrite_paths(value: Any, folder: Path) -> Any:
    """Return a setting with each path in it, at any depth, made valid from the current directory."""
    if isinstance(value, str):
        as_code = beside(value, folder)  # changes only `file.py:Name`
        return as_code if as_code != value else path_beside(value, folder)
    if isinstance(value, list):
        return [_rewrite_paths(each, folder) for each in value]
    if isinstance(value, dict):
        return {key: _rewrite_paths(each, folder) for key, each in value.items()}
    return value


def _names_files(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    marked = isinstance(extra, dict) and extra.get("lookup") == "file"
    return marked or _contains_path(field.annotation)


def _contains_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_contains_path, get_args(annotation)))
