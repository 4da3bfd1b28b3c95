"""The JSON Schema of a space, with every form in which a sweep file can write a hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.space.dimension import MAX_GRID
from tuner.space.kinds import GRID_SEARCH, KINDS, OTHER_TOOLS_KEYS, options_of
from tuner.space.reading import CONSTRAINTS, RESERVED
from tuner.space.repeat import MAX_LENGTH

Schema = dict[str, Any]


def space_definitions() -> dict[str, Schema]:
    """Return the definitions ``space``, ``hyperparameter`` and those that they refer to."""
    dimensions = {
        "float": _range("number", "a number between two bounds, both inclusive"),
        "int": _range("integer", "a whole number between two bounds, both inclusive"),
        "choice": _choice(),
        "ordinal": _ordinal(),
        "architecture": _architecture(),
        "repeat": _repeat(),
    }
    return {
        "space": _space(),
        "group": _named("hyperparameters that are active with this choice only"),
        "hyperparameter": {
            "anyOf": [*(_ref(f"dimension-{kind}") for kind in dimensions), _ref("tuple"), _ref("constant")]
        },
        "dimension": {"type": "object", "anyOf": [{"required": [kind]} for kind in dimensions]},
        **{f"dimension-{kind}": schema for kind, schema in dimensions.items()},
        "tuple": _one_key("tuple", {"type": "array", "items": _ref("value")}, "a constant that is a tuple"),
        "pairs": _one_key(
            "pairs",
            {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}},
            "a constant that is a mapping with keys other than text, as [[key, value], ...]",
        ),
        "constant": _constant(),
        "value": _value(),
        "when": _when(),
    }


def named_space(fields: Mapping[str, Schema], *, at: str, others: bool) -> Schema:
    """Return a schema that restricts a space to these hyperparameters and their values.

    - ``fields``: name of a hyperparameter -> schema of its values
    - ``at``: the JSON reference (``#/...``) to the returned schema
    - ``others``: whether other hyperparameters are allowed
    """
    values = {name: {"$ref": f"{at}/$defs/{name}"} for name in fields}
    groups = {"anyOf": [{"$ref": at}, {"type": "null"}]}
    return {
        "properties": {
            CONSTRAINTS: True,
            **{
                name: {
                    "description": field.get("description", ""),
                    "anyOf": [_dimension_of(values[name], groups), values[name]],
                }
                for name, field in fields.items()
            },
        },
        "additionalProperties": others,
        # Values inside a tuple or pairs are not checked.
        "$defs": {name: {"anyOf": [field, _ref("tuple"), _ref("pairs")]} for name, field in fields.items()},
    }


def _dimension_of(value: Schema, groups: Schema) -> Schema:
    """Return the schema of a dimension whose values all match one hyperparameter."""
    return {
        **_ref("dimension"),
        "properties": {
            **{kind: {"items": value} for kind in ("float", "int", "ordinal")},
            "choice": {"items": value, "additionalProperties": groups},
        },
        "if": {"not": {"required": ["repeat"]}},  # the values of a list are not checked
        "then": {"properties": {"default": value}},
    }


def _space() -> Schema:
    return {
        **_named("hyperparameters by name, each a dimension or a constant"),
        "minProperties": 1,
        "properties": {
            CONSTRAINTS: {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "expressions that each configuration must make true, such as "
                "hidden * depth <= 2048",
            },
            **{name: False for name in RESERVED},
        },
    }


def _named(description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {name: False for name in (CONSTRAINTS, *RESERVED)},
        "additionalProperties": _ref("hyperparameter"),
    }


def _dimension(kind: str, body: Schema, options: Mapping[str, Schema]) -> Schema:
    common = {
        "when": _ref("when"),
        "default": {
            **_ref("value"),
            "description": "a value believed to be good; the search starts with it",
        },
    }
    return {
        "type": "object",
        "properties": {kind: body, **options, **common},
        "required": [kind],
        "additionalProperties": False,
    }


def _range(number: str, description: str) -> Schema:
    kind = "float" if number == "number" else "int"
    whole = number == "integer"
    step: Schema = (
        {"type": "integer", "minimum": 1} if whole else {"type": ["number", "null"], "exclusiveMinimum": 0}
    )
    options: dict[str, Schema] = {
        "log": {
            "type": "boolean",
            "description": "draw uniformly on the logarithmic scale",
            "default": False,
        },
        "step": {
            **step,
            "description": "take only low, low + step, ... high",
            "default": 1 if whole else None,
        },
        "points": {
            "type": ["integer", "null"],
            "minimum": 2,
            "maximum": MAX_GRID,
            "description": "number of values in a grid, evenly spaced; null: all that step allows",
            "default": None,
        },
        "prior": _prior(),
    }
    bounds = {
        "type": "array",
        "items": {"type": number},
        "minItems": 2,
        "maxItems": 2,
        "description": f"[low, high]: {description}",
    }
    is_log = {"properties": {"log": {"const": True}}, "required": ["log"]}
    positive: Schema = {"properties": {kind: {"items": {"exclusiveMinimum": 0}}}}
    positive["properties"]["step"] = {"const": 1 if whole else None}
    return {
        **_dimension(kind, bounds, options),
        "allOf": [{"if": is_log, "then": positive}, _NORMAL_HAS_DEFAULT],
    }


_NORMAL_HAS_DEFAULT: Schema = {
    "if": {"properties": {"prior": {"const": "normal"}}, "required": ["prior"]},
    "then": {"required": ["default"]},
}


def _prior() -> Schema:
    return {
        "enum": ["uniform", "normal"],
        "description": "distribution of the drawn values; normal is centred on default",
        "default": "uniform",
    }


def _choice() -> Schema:
    description = "one of a list of values, or a mapping from values to the hyperparameters of each"
    body = {
        "description": description,
        "anyOf": [
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": _ref("value")},
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"anyOf": [_ref("group"), {"type": "null"}]},
            },
        ],
    }
    return _dimension("choice", body, {})


def _ordinal() -> Schema:
    body = {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": _ref("value"),
        "description": "one of a list of values in their order",
    }
    return {**_dimension("ordinal", body, {"prior": _prior()}), "allOf": [_NORMAL_HAS_DEFAULT]}


def _architecture() -> Schema:
    values = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": ["number", "string"]}}
    body = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "object", "additionalProperties": values},
        "description": "layers of a network: kinds of layers, each with its fields and their values",
    }
    options: dict[str, Schema] = {
        "layers": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 2,
            "maxItems": 2,
            "description": "[fewest, most] layers, both inclusive",
            "default": [1, 4],
        },
        "skip": {
            "type": "boolean",
            "description": "whether a layer may also get the outputs of earlier layers",
            "default": False,
        },
    }
    return _dimension("architecture", body, options)


def _repeat() -> Schema:
    body: Schema = {
        "description": "a list of values; the hyperparameter that gives its length, or the length",
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "integer", "minimum": 1, "maximum": MAX_LENGTH},
        ],
    }
    kinds = ("float", "int", "choice", "ordinal", "architecture")
    each = {
        "description": "the dimension of each value",
        "anyOf": [_ref(f"dimension-{kind}") for kind in kinds],
        "properties": {"when": {"type": "null"}, "choice": {"type": "array"}},
    }
    schema = _dimension("repeat", body, {"each": each})
    default = {"type": "array", "description": "a list believed to be good; the search starts with it"}
    schema["properties"]["default"] = default
    return {**schema, "required": ["repeat", "each"]}


def _constant() -> Schema:
    """Return the schema of a constant. It refuses an incomplete dimension, and one of another tool."""
    options = {name for kind in KINDS.values() for name in options_of(kind)}
    dimension_keys = [{"required": [key]} for key in (*KINDS, GRID_SEARCH, "log", "points", "when", "prior")]
    return {
        "if": {"type": "object"},
        "then": {
            "not": {
                "anyOf": [*dimension_keys, {"propertyNames": {"enum": sorted(options | OTHER_TOOLS_KEYS)}}]
            },
            "additionalProperties": _ref("value"),
        },
        "else": _ref("value"),
    }


def _value() -> Schema:
    """Return the schema of a JSON value. It refuses a dimension inside, which would not be searched."""
    bodies: list[Schema] = [
        {
            "properties": {
                kind: {"type": ["array", "object"] if kind in ("choice", "architecture") else "array"}
            },
            "required": [kind],
        }
        for kind in KINDS
        if kind != "repeat"
    ]
    bodies.append({"required": ["repeat", "each"]})
    one_kind = {"oneOf": [{"required": [kind]} for kind in KINDS]}
    return {
        "anyOf": [
            {"type": ["number", "string", "boolean", "null"]},
            {"type": "array", "items": _ref("value")},
            {
                "type": "object",
                "additionalProperties": _ref("value"),
                "not": {
                    "anyOf": [
                        {**one_kind, "anyOf": bodies},
                        {"required": [GRID_SEARCH], "maxProperties": 1},
                    ]
                },
            },
        ]
    }


def _when() -> Schema:
    bound = {"type": ["number", "string", "boolean", "null"]}
    limits = {
        "type": "object",
        "properties": {"min": bound, "max": bound},
        "minProperties": 1,
        "additionalProperties": False,
        "description": "a range, both ends inclusive",
    }
    return {
        "type": ["object", "null"],
        "description": "active only if each of these hyperparameters has one of its values here",
        "additionalProperties": {
            "description": "a value, a list of values, or a range {min: ..., max: ...}",
            "anyOf": [limits, {"type": "array", "minItems": 1}, {"not": {"type": "array"}}],
        },
    }


def _one_key(key: str, body: Schema, description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {key: body},
        "required": [key],
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
