"""Settings of a searcher that offers several algorithms, each with settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.config import JsonDict, JsonValue

from tuner.errors import Problem, SpecError
from tuner.spec import did_you_mean

Table = Mapping[str, Mapping[str, Any]]
"""Algorithm -> its settings with their defaults."""


def own_settings(data: Any, field: str, default: str, table: Table) -> Any:
    """``data`` with the defaults of the algorithm that its ``field`` names written out.

    Raises SpecError for settings that only other algorithms have. What is wrong otherwise is left as it is.
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
    """``settings`` without those that only other algorithms have."""
    foreign = _foreign(chosen, table)
    return {name: value for name, value in settings.items() if name not in foreign}


def schema_of_own(field: str, default: str, table: Table) -> JsonDict:
    """The part of a JSON Schema that says the same: each algorithm has no settings but its own."""
    cases: list[JsonValue] = []
    for name in table:
        chosen: JsonDict = {"properties": {field: {"const": name}}}
        if name != default:  # which is meant where none is named
            chosen["required"] = [field]
        foreign: JsonDict = {setting: {"type": "null"} for setting in sorted(_foreign(name, table))}
        cases.append({"if": chosen, "then": {"properties": foreign}})
    return {"allOf": cases}


def _foreign(chosen: str, table: Table) -> set[str]:
    return {name for settings in table.values() for name in settings} - table[chosen].keys()
