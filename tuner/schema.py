"""``sweep_schema``: the JSON Schema of a sweep file, built from the models of its parts.

An editor can complete and check a sweep file with it. It describes the shape of a file only. ``tuner check``
also checks the rules between parts, and imports the code that the file names.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from tuner.code.functions import OPTUNA_OBJECTIVE
from tuner.logger import LOGGERS, trackers
from tuner.schedulers import SCHEDULERS
from tuner.searchers import SEARCHERS
from tuner.space.schema import named_space, space_definitions
from tuner.spec import locate
from tuner.sweep import Sweep
from tuner.trainable import Entry, trainables

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_IMPORT_PATH: Schema = {
    "type": "string",
    "pattern": "^.+:.+$",
    "description": "package.module:Name or file.py:Name",
}


def sweep_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a sweep file."""
    models: list[type[BaseModel]] = [
        Sweep,
        *SEARCHERS.values(),
        *SCHEDULERS.values(),
        *chain(*map(_models, trainables().values())),
    ]
    refs, definitions = _schemas(models)
    own = definitions.pop("Sweep")
    parts = own["properties"]
    for name, table in (("searcher", SEARCHERS), ("scheduler", SCHEDULERS)):
        parts[name] |= {"anyOf": _component(table, refs), "default": parts[name]["default"]["kind"]}
    parts["trainable"] |= {"anyOf": _trainable(refs, definitions)}
    parts["loggers"] |= {"items": {"anyOf": _logger()}}
    one: list[Schema] = [
        {"$ref": "#/$defs/Objective"},
        {"type": "string", "description": "a standard metric"},
    ]
    several = {"type": "array", "minItems": 1, "items": {"anyOf": one}}
    parts["objective"] = {
        "description": parts["objective"]["description"],
        "anyOf": [*one, several],
    }
    parts["space"] |= {"anyOf": [{"$ref": "#/$defs/space"}, {"type": "object", "maxProperties": 0}]}
    for model in chain(*map(_models, trainables().values())):
        definitions.pop(_name_of(refs[model]), None)  # the schema refers to their copies only
    return {
        "$schema": DIALECT,
        **own,
        "description": "A sweep file of tuner",
        "required": [name for name in own["required"] if name != "space"],
        "allOf": [_needs_space(), *(_with_its_space(name) for name in trainables())],
        "$defs": {**definitions, **space_definitions()},
    }


def schema_of(model: type[BaseModel]) -> Schema:
    """Return the JSON Schema of one part of a sweep file."""
    return model.model_json_schema(schema_generator=_Generator)


def about(model: type[BaseModel]) -> list[str]:
    """Return the paragraphs of a model's docstring, each as one line."""
    return _paragraphs(inspect.getdoc(model) or "")


class _Generator(GenerateJsonSchema):
    """Accept any value where JSON Schema cannot be precise, and derive no titles from field names."""

    ignored_warning_kinds: ClassVar[set[Any]] = {"skipped-choice", "non-serializable-default"}  # type: ignore[misc]

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        return {}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schemas(models: Collection[type[BaseModel]]) -> tuple[dict[type[BaseModel], Schema], dict[str, Schema]]:
    """Return a reference to each model's definition, and all definitions by name."""
    found, joint = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], schema_generator=_Generator
    )
    definitions: dict[str, Schema] = joint["$defs"]
    for definition in definitions.values():
        definition.pop("title", None)
        definition["description"] = "\n\n".join(_paragraphs(definition.get("description", "")))
        if "kind" in definition.get("properties", {}):
            definition["required"] = ["kind", *definition.get("required", ())]
    references = {model: found[model, "validation"] for model in models}
    return references, definitions


def _models(entry: Entry) -> tuple[type[BaseModel], type[BaseModel]]:
    """Return the models of a trainable's settings and of its hyperparameters."""
    return locate(entry.settings, {}, what="settings"), locate(entry.config, {}, what="config")


def _name(name: str, summary: str) -> Schema:
    return {"const": name, "description": summary}


def _with_any_settings(kind: Schema) -> Schema:
    return {"type": "object", "properties": {"kind": kind}, "required": ["kind"]}


def _component(table: Mapping[str, type[BaseModel]], refs: Mapping[type[BaseModel], Schema]) -> list[Schema]:
    """Return the forms of a searcher or scheduler: a name, or a mapping with ``kind`` and settings."""
    return [
        *(_name(name, about(model)[0]) for name, model in table.items()),
        _IMPORT_PATH,
        *(refs[model] for model in table.values()),
        _with_any_settings(_IMPORT_PATH),
    ]


def _trainable(refs: Mapping[type[BaseModel], Schema], definitions: dict[str, Schema]) -> list[Schema]:
    """Return the forms of a trainable. Add each known trainable's settings and space to ``definitions``."""
    forms = [_name(name, entry.summary) for name, entry in trainables().items()]
    forms.append(_IMPORT_PATH)
    for name, entry in trainables().items():
        settings, config = (definitions[_name_of(refs[model])] for model in _models(entry))
        definitions[f"trainable-{name}"] = {
            **settings,
            "properties": {"kind": _name(name, entry.summary), **settings["properties"]},
            "required": ["kind", *settings.get("required", ())],
        }
        definitions[f"space-of-{name}"] = named_space(
            config["properties"],
            at=f"#/$defs/space-of-{name}",
            others=config.get("additionalProperties", False),
        )
        forms.append({"$ref": f"#/$defs/trainable-{name}"})
    return [*forms, _optuna_objective(), _with_any_settings(_IMPORT_PATH)]


def _optuna_objective() -> Schema:
    return {
        "type": "object",
        "description": "an Optuna objective: a function of a trial, which names its hyperparameters",
        "properties": {"kind": {"const": OPTUNA_OBJECTIVE}, "objective": _IMPORT_PATH},
        "required": ["kind", "objective"],
        "additionalProperties": False,
    }


def _needs_space() -> Schema:
    """Require a space unless the trainable is an Optuna objective."""
    names_its_own = {"properties": {"trainable": _with_any_settings({"const": OPTUNA_OBJECTIVE})}}
    space = {"properties": {"space": {"$ref": "#/$defs/space"}}}
    return {"if": {"not": names_its_own}, "then": {"required": ["space"], **space}}


def _logger() -> list[Schema]:
    others = [_name(name, f"the logger {path}") for name, path in LOGGERS.items() if name not in trackers()]
    names = [_name(name, about(model)[0]) for name, model in trackers().items()]
    settings = [
        {
            "type": "object",
            "properties": {"kind": name, **schema_of(model)["properties"]},
            "required": ["kind"],
            "additionalProperties": False,
        }
        for name, model in zip(names, trackers().values(), strict=True)
    ]
    return [
        *names,
        *others,
        _IMPORT_PATH,
        *settings,
        _with_any_settings({"anyOf": [*others, _IMPORT_PATH]}),
    ]


def _with_its_space(name: str) -> Schema:
    """Restrict a sweep of this trainable to the trainable's hyperparameters and their values."""
    names = {"anyOf": [{"const": name}, _with_any_settings({"const": name})]}
    return {
        "if": {"properties": {"trainable": names}, "required": ["trainable"]},
        "then": {"properties": {"space": {"$ref": f"#/$defs/space-of-{name}"}}},
    }


def _name_of(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _paragraphs(docstring: str) -> list[str]:
    return [" ".join(part.split()) for part in docstring.replace("``", "").split("\n\n")]
