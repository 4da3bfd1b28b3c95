"""Settings of a searcher that offers several algorithms, each with its own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.config import JsonDict, JsonValue

from tuner.errors import Problem, SpecError
from tuner.spec import did_you_mean

Table = Mapping[str, Mapping[str, Any]]
"""Algorithm -> its settings with their defaults."""


def own_settings(data: Any, field: str, default: str, table: Table) -> Any:
    """Return ``data`` with the defaults of its algorithm filled in.

    ``field`` names the key that holds the algorithm, ``default`` the algorithm without that key. Other
    mistakes in ``data`` are left for the model to report. Raises SpecError for settings of other algorithms
    only.
    """
    if not isinstance(data, Mapping):
        return data
    chosen = data.get(field, default)
    if not isinstance(chosen, str) or chosen not in table:
        return data
    own = table[chosen]
    problems = []
    for name in sorted(_foreign(chosen, table) & data.keys()):
        if data[name] is not None:
            theirs = " and ".join(other for other, settings in table.items() if name in settings)
            hint = did_you_mean(name, own) or "; it has none"
            problems.append(Problem(name, f"is a setting of {field} {theirs}, not of {chosen}{hint}"))
    if problems:
        raise SpecError(problems)
    return {**own, **{name: value for name, value in data.items() if value is not None}}


def without_foreign(settings: dict[str, Any], chosen: str, table: Table) -> dict[str, Any]:
    """Return ``settings`` without those that only other algorithms have."""
    foreign = _foreign(chosen, table)
    return {name: value for name, value in settings.items() if name not in foreign}


def schema_of_own(field: str, default: str, table: Table) -> JsonDict:
    """Return the part of a JSON Schema that allows each algorithm its own settings only."""
    cases: list[JsonValue] = []
    for name in table:
        chosen: JsonDict = {"properties": {field: {"const": name}}}
        if name != default:  # the default may be left out
            chosen["required"] = [field]
        foreign: JsonDict = {setting: {"type": "null"} for setting in sorted(_foreign(name, table))}
        cases.append({"if": chosen, "then": {"properties": foreign}})
    return {"allOf": cases}


def _foreign(chosen: str, table: Table) -> set[str]:
    return {name for settings in table.values() for name in settings} - table[chosen].keys()
