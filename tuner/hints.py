"""Remedies in errors for other tools' words, and for keys in the wrong place of a sweep file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from tuner.synonyms import estimator, method, mode_of, place_of, synonym

_DIMENSIONS = ("float", "int", "choice", "ordinal", "architecture")

_METRIC_KEYS = (
    *("metric", "name", "attribute", "metric_name", "objectiveMetricName", "objective", "objective_name"),
    *("metrics", "objectives"),
)
"""Keys that name a metric in a sweep file, or in another tool's file."""

_MODE_KEYS = ("mode", "goal", "direction", "type", "optimize", "directions", "modes", "goals")
"""Keys that name a metric's direction in a sweep file, or in another tool's file."""


def flow(value: Any) -> str:
    """Return a value in YAML's flow style, as a sweep file writes it."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        plain = re.fullmatch("[A-Za-z][A-Za-z0-9_./:-]*", value) and not value.endswith(":")
        return value if plain and value.lower() not in ("true", "false", "null") else repr(value)
    return json.dumps(value, default=repr)


def for_method(name: object, what: Literal["searcher", "scheduler"]) -> str | None:
    """Return the remedy for another tool's name of a searcher or scheduler, or ``None`` if it is unknown."""
    known = list(dict.fromkeys((key, flow(ours)) for key, ours in method(name)))
    same_kind = [ours for key, ours in known if key == what]
    other = [f"{key}: {ours}" for key, ours in known if key != what]
    if not same_kind:
        return f"; it is a {other[0].partition(':')[0]}, write {other[0]}" if other else None
    return f"; write {' or '.join(same_kind)}{f', and {other[0]}' if other else ''}"


def for_key(key: object, value: Any, known: Collection[str]) -> str | None:
    """Return the remedy for an unknown key that belongs elsewhere, or ``None`` if there is none.

    ``known``: the keys of the part that has the unknown key.
    """
    at_top = "trainable" in known and "space" in known
    if at_top and isinstance(value, Mapping) and any(kind in value for kind in _DIMENSIONS):
        return "; a hyperparameter belongs under 'space'"
    if at_top and key in ("constraints", "parameter_constraints"):
        return f"; write space: {{constraints: {flow(value)}}}"
    right = place_of(key)
    if at_top and isinstance(value, Mapping) and (right is None or right == ("sweep", "budget")):
        return _each(value, known)  # Ray Tune's `tune_config` and `stop`
    if right is None or (right[1] in known and right[0] != "sweep"):
        return None
    place, ours = right
    every_method_has = {"searcher": "initial_points", "scheduler": "resource"}
    if every_method_has.get(place) in known:
        return None  # the place is right: the key is one of another method, or has another name here
    if place == "sweep":
        return _at_top(ours, value) if at_top else None
    if synonym(key, known) is not None and not at_top:
        return None
    if place == "objective":
        return f"; write objective: {objective(value, ours)}"
    if not isinstance(value, (str, int, float)):
        return f"; write '{ours}' under '{place}'"
    kind = "kind: ..., " if place in ("searcher", "scheduler", "trainable") else ""
    return f"; write {place}: {{{kind}{ours}: {flow(value)}}}"


def sections(key: object, value: Any) -> set[str]:
    """Return the parts of a sweep to which an unknown key at its top, or the keys in its mapping, belong."""
    right = place_of(key)
    parts = {right[1] if right[0] == "sweep" else right[0]} if right is not None else set()
    if isinstance(value, Mapping) and (right is None or right == ("sweep", "budget")):
        parts |= {inner[0] for each in value if (inner := place_of(each)) is not None}
    return parts


def _each(values: Mapping[Any, Any], known: Collection[str]) -> str | None:
    """Join the remedies for the keys of a section that sweep files do not have."""
    skipped = _MODE_KEYS if any(key in values for key in _METRIC_KEYS) else ()
    hints = [for_key(key, value, known) for key, value in values.items() if key not in skipped]
    advice = [hint.removeprefix("; write ") for hint in hints if hint is not None]
    return f"; write {', '.join(advice)}" if advice else None


def _at_top(ours: str, value: Any) -> str | None:
    """Return the remedy for ``ours``, a key at the top of a sweep, under another tool's name."""
    if ours == "searcher" or ours == "scheduler":
        name = value
        if isinstance(value, Mapping):
            name = next((value[each] for each in ("kind", "name", "type") if each in value), None)
        values = [flow(what) for key, what in method(name) if key == ours] if isinstance(name, str) else []
        return f"; write {ours}: {values[0]}" if values else None
    if ours == "trainable" and isinstance(value, str):
        return f"; write trainable: {for_file(value) or 'package.module:Name'}"
    if ours == "objective":
        return f"; write objective: {objective(value)}"
    return None


def for_file(name: str) -> str | None:
    """Return ``path.py:function`` for a text that contains a Python file, or ``None`` if it contains none."""
    path = re.search(r"[^\s'\"]+\.py", name)
    return f"{path[0]}:function" if path else None


def meant_as_objective(value: Mapping[Any, Any]) -> bool:
    """Return whether a mapping is another form of an objective, like ``{name: val_loss, goal: minimize}``."""
    if len(value) == 1:
        [(key, item)] = value.items()
        return key not in _MODE_KEYS and bool(_mode(key) or _mode(item))
    keys = (*_METRIC_KEYS, *_MODE_KEYS)
    return value.keys() != {"metric", "mode"} and all(key in keys or _mode(key) for key in value)


def objective(value: Any, key: str = "metric") -> str:
    """Return an objective as a sweep file writes it.

    ``value`` is an objective in another form, or the value of the objective's key ``key``.
    """
    metric, mode = "...", None
    if isinstance(value, Mapping):
        named = next((value[each] for each in _METRIC_KEYS if each in value), None)
        mode = next((value[each] for each in _MODE_KEYS if each in value), None)
        if isinstance(named, list):
            modes = mode if isinstance(mode, list) and len(mode) == len(named) else [None] * len(named)
            pairs = zip(named, modes, strict=True)
            return f"[{', '.join(objective({'metric': one, 'mode': its}) for one, its in pairs)}]"
        metric, mode = str(named or "..."), _mode(mode) or _switch(value)
        if metric == "..." and len(value) == 1:  # {val_loss: min}, {maximize: val_accuracy}
            [(first, second)] = value.items()
            metric, mode = (str(first), _mode(second)) if _mode(second) else (str(second), _mode(first))
    elif isinstance(value, str) and key == "metric":
        metric, mode = _from_text(value)
    elif isinstance(value, str):
        mode = _mode(value)
    mode = mode or mode_of(metric)
    return f"{{metric: {metric}, mode: {mode or 'min'}}}" + ("" if mode else " or mode: max")


def _from_text(text: str) -> tuple[str, Literal["min", "max"] | None]:
    """Return the metric and the mode of a text such as ``min val_loss``, ``-loss`` or ``val_loss:min``."""
    words = [word for word in re.split(r"[\s:=,()]+", text) if word]
    modes = [mode for word in words if (mode := _mode(word))]
    others = [word for word in words if not _mode(word)]
    if len(others) != 1:
        return text, modes[0] if modes else None
    [metric] = others
    if metric.startswith("-"):
        return metric[1:], "min"
    return metric, modes[0] if modes else None


def _switch(value: Mapping[Any, Any]) -> Literal["min", "max"] | None:
    """Return the mode of a switch such as ``minimize: true``, or ``None`` if there is none."""
    for key, on in value.items():
        if (mode := _mode(key)) is not None and isinstance(on, bool):
            return mode if on else "min" if mode == "max" else "max"
    return None


def _mode(word: object) -> Literal["min", "max"] | None:
    found = synonym(word, ("min", "max")) if isinstance(word, str) else None
    return "min" if found == "min" else "max" if found == "max" else None


def for_trainable(name: str) -> str | None:
    """Return the remedy for an unknown name that looks like a file, a command or an import path."""
    if ":" in name:
        return None
    if (known := estimator(name)) is not None:
        return f"write {{kind: sklearn, estimator: {known}}}"
    if (file := for_file(name)) is not None:
        return f"name the function or class in it, as in {file}"
    module, _, attribute = name.rpartition(".")
    if not module or not attribute.isidentifier():
        return None
    path = f"{module}:{attribute}"
    estimators = ("sklearn", "xgboost", "lightgbm", "catboost")
    return f"write {{kind: sklearn, estimator: {path}}}" if module.startswith(estimators) else f"write {path}"
