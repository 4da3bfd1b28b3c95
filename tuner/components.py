"""Read and write the searcher and the scheduler of a sweep as a sweep file names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from tuner.code.modules import import_path
from tuner.errors import Problem, SpecError
from tuner.hints import for_method
from tuner.schedulers import SCHEDULERS
from tuner.searchers import SEARCHERS
from tuner.spec import Spec, describe, did_you_mean, likely, locate

_S = TypeVar("_S", bound=Spec)


def component(
    value: Any, base: type[_S], table: Mapping[str, type[_S]], what: Literal["searcher", "scheduler"]
) -> _S:
    """Return a method's settings object from a name, a mapping with ``kind``, or the object itself.

    Raises SpecError for an unknown method or invalid settings.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        remedy = "; leave the key out for the default" if value is None else ""
        what_holds = f"must be a name or a mapping with 'kind', got {describe(value)}{remedy}"
        raise SpecError([Problem("", what_holds)])
    kind = value.get("kind")
    settings = {str(key): item for key, item in value.items() if key != "kind"}
    if not isinstance(kind, str):
        raise SpecError([_without_kind(value, table, what)])
    if ":" in kind:
        cls = locate(kind, {}, what=what)
        if not (isinstance(cls, type) and issubclass(cls, base)):
            where = f"{base.__module__}.{base.__name__}"
            raise SpecError([Problem("kind", f"'{kind}' must be a subclass of {where}")])
        return cls(**settings)
    if kind not in table:
        hint = for_method(kind, what) or did_you_mean(kind, table)
        raise SpecError([Problem("", f"unknown {what} '{kind}'{hint}")])
    return table[kind](**{str(key): item for key, item in value.items()})


def _without_kind(value: Mapping[Any, Any], table: Mapping[str, type[Spec]], what: Any) -> Problem:
    """Return the problem of a mapping without ``kind``, or with a ``kind`` that is not a name."""
    if "kind" in value:
        return Problem("kind", f"must be one of {', '.join(table)}, got {describe(value['kind'])}")
    for key, item in value.items():
        if not isinstance(item, str):
            continue
        method = item if item in table else None
        hint = f"; write {{kind: {method}}}" if method else for_method(item, what)
        if hint is not None:  # {name: asha}, {sampler: tpe}
            return Problem("kind", f"must be given, got {key}: {item}{hint}")
    if (near := likely("kind", map(str, value))) is not None:
        return Problem("", f"unknown key '{near}'; did you mean 'kind'?")
    return Problem("kind", f"must be given: one of {', '.join(table)}")


def written_out(method: Spec) -> dict[str, Any]:
    """Return a searcher or scheduler as a sweep file writes it, with its defaults."""
    cls = type(method)
    known = cls in SEARCHERS.values() or cls in SCHEDULERS.values()
    settings = method.model_dump()
    kind = settings["kind"] if known else import_path(cls)
    # `initial_points` and `warm_start` are not settings of the method, and are usually empty.
    empty = [name for name in ("initial_points", "warm_start") if name in settings and not settings[name]]
    return {"kind": kind, **{k: value for k, value in settings.items() if k not in ("kind", *empty)}}
