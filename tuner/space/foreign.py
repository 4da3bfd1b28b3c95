"""``in_our_form``: translate a dimension of another tool into the form of a sweep file.

It reads the mappings, texts and objects of Ray Tune, Optuna, HyperOpt, Weights & Biases, Ax, Syne Tune, NNI,
Katib, Vizier, SageMaker, Hydra and SciPy.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuner.hints import flow
from tuner.space.values import is_number, is_value
from tuner.synonyms import form_of, role_of

_SPREAD = 2.5
"""Standard deviations from the centre to an end of a range with a normal prior (see ``Ordered``)."""

_LOG_WORDS = ("log", "log10", "ln", "logarithmic", "unit_log_scale", "log2", "reverse_log")

_WIDE = 100
"""If the ends of a range have at least this ratio, it is usually searched on the logarithmic scale."""


def in_our_form(entry: Any) -> str | None:
    """Return what a sweep file writes for a dimension of another tool; ``None`` if the form is unknown."""
    found = _read(entry)
    return None if found is None else flow(found)


def as_dimensions(values: Sequence[Any]) -> list[str]:
    """Return the dimensions that a list of values may mean: a choice, and for two numbers also a range."""
    forms = [flow({"choice": list(values)})]
    if len(values) == 2 and all(map(is_number, values)) and values[0] < values[1]:
        low, high = values
        whole = isinstance(low, int) and isinstance(high, int)
        log = {"log": True} if low > 0 and high / low >= _WIDE else {}
        forms.append(flow({"int" if whole else "float": [low, high], **log}))
    return forms


def reads_like_options(value: Any) -> bool:
    """Return whether a constant is a list of different numbers or texts, which may be meant as a choice."""
    if not isinstance(value, list) or len(value) < 2 or len({str(each) for each in value}) < len(value):
        return False
    return all(map(is_number, value)) or all(isinstance(each, str) for each in value)


def named_entries(entries: Sequence[Any]) -> str | None:
    """Return a list of named dimensions as a space; ``None`` if it is not such a list."""
    found = {}
    for entry in entries:
        if not isinstance(entry, Mapping):
            return None
        name = next(
            (entry[key] for key in ("name", "Name", "parameter_id", "parameterName") if key in entry), None
        )
        dimension = _read(entry)
        if not isinstance(name, str) or dimension is None:
            return None
        found[name] = dimension
    return flow(found) if found else None


def _read(entry: Any) -> Any:
    """Return a sweep file's mapping for a dimension of another tool; ``None`` if the form is unknown."""
    if isinstance(entry, str):
        return _read_text(entry)
    if isinstance(entry, Mapping):
        return _read_mapping(entry)
    return _read_object(entry)


def _read_text(text: str) -> Any:
    """Read a call such as ``loguniform(1e-4, 1e-1)`` or ``tag(log, interval(1, 9))``."""
    called = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_.]*)\(.*\)", text.strip(), re.DOTALL)
    if called is None or (form_of(called[1]) is None and called[1] not in ("tag", "int")):
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # the text may contain invalid escapes
            call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _read_call(call) if isinstance(call, ast.Call) else None


def _read_call(call: ast.Call) -> Any:
    name = ast.unparse(call.func).rpartition(".")[2]
    if name == "tag" and len(call.args) == 2 and isinstance(call.args[1], ast.Call):  # as in Hydra
        found = _read_call(call.args[1])
        log = ast.unparse(call.args[0]) == "log" and isinstance(found, dict) and "choice" not in found
        return {**found, "log": True} if log else found
    if name == "int" and len(call.args) == 1 and isinstance(call.args[0], ast.Call):
        found = _read_call(call.args[0])
        return {"int": found["float"]} if isinstance(found, dict) and "float" in found else found
    form = form_of(name)
    try:
        arguments = [_literal(each) for each in call.args]
        options = {each.arg: _literal(each.value) for each in call.keywords if each.arg}
    except ValueError:
        return None
    takes_name = ast.unparse(call.func).startswith(("hp.", "trial.", "suggest"))
    if takes_name and arguments and isinstance(arguments[0], str):
        del arguments[0]  # drop the hyperparameter's name
    return None if form is None else _from_parts(form, arguments, _roles(options))


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id not in ("np", "math"):
        return node.id
    return ast.literal_eval(node)


def _read_mapping(entry: Mapping[Any, Any]) -> Any:
    """Read ``{form: numbers}``, or a mapping with a key for each part, such as ``type`` and ``low``."""
    forms = [key for key in entry if form_of(key) is not None and role_of(key) in (None, "values")]
    if len(forms) == 1:
        rest = {key: value for key, value in entry.items() if key != forms[0]}
        form_name, body, parts = str(form_of(forms[0])), entry[forms[0]], _roles(rest)
        if set(parts) <= {"log", "step", "ignored", "form"}:
            if isinstance(body, Mapping):
                return _from_parts(form_name, [], {**parts, **_roles(body)})
            if isinstance(body, (list, tuple)):
                return _from_parts(form_name, list(body), parts)
            return _from_parts(form_name, [body], parts)
    parts = _roles(entry)
    if "unknown" in parts or not set(parts) & {"low", "high", "bounds", "values", "value", "mean"}:
        return None
    form = form_of(parts["form"]) if isinstance(parts.get("form"), str) else None
    if "form" in parts and form is None:
        return None
    return _from_parts(form or "any", [], parts)


def _roles(entry: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the parts of a dimension by their role; a part with an unknown key has the role ``unknown``."""
    found: dict[str, Any] = {}
    for key, value in entry.items():
        role = role_of(key) or "unknown"
        if role == "inner" and isinstance(value, Mapping):
            found.update(_roles(value))
        elif role == "form" and found.get("form"):
            found["type"] = value  # Ax writes `type: range, value_type: int`
        else:
            found[role] = value
    return found


def _from_parts(form: str, arguments: list[Any], parts: Mapping[str, Any]) -> Any:
    """Return a sweep file's mapping for a form of ``DISTRIBUTIONS`` and its numbers or values."""
    if "unknown" in parts:
        return None
    if form == "constant" or (form == "any" and parts.keys() - {"ignored"} == {"value"}):
        return parts.get("value", arguments[0] if arguments else None)
    if isinstance(parts.get("value"), (list, tuple)):  # NNI's `_value`
        arguments = list(parts["value"])
    if form == "flag":
        return {"choice": [True, False]}
    values = _values(form, arguments, parts)
    if values is not None:
        return {"ordinal" if form == "ordinal" else "choice": values}
    if form in ("choice", "ordinal"):
        return None
    numbers = [_number(each) for each in _bounds(arguments, parts)]
    if form in ("normal", "log normal"):
        return _normal(numbers, parts, log=form == "log normal")
    if len(numbers) < 2 or any(each is None for each in numbers):
        return None
    step = _number(parts.get("step")) or (numbers[2] if len(numbers) > 2 else None)
    return _range(form, numbers[0], numbers[1], step, parts)


def _values(form: str, arguments: list[Any], parts: Mapping[str, Any]) -> list[Any] | None:
    """Return the list of values; ``None`` for a range."""
    found = parts.get("values")
    if found is None and form in ("choice", "ordinal"):
        bounds = parts.get("bounds")
        given = arguments or (bounds if isinstance(bounds, list) else [])
        found = given[0] if len(given) == 1 and isinstance(given[0], (list, tuple)) else given
    listed = isinstance(found, (list, tuple)) and len(found) > 0 and all(map(is_value, found))
    return list(found) if listed and found is not None else None


def _bounds(arguments: list[Any], parts: Mapping[str, Any]) -> list[Any]:
    """Return low, high and further numbers, wherever the other tool writes them; empty if it does not."""
    bounds = parts.get("bounds", arguments)
    if isinstance(bounds, Mapping):
        inner = _roles(bounds)
        bounds = [inner.get("low"), inner.get("high")]
    if "low" in parts or "high" in parts:
        return [parts.get("low"), parts.get("high")]
    if len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
        return list(arguments[0])
    return list(bounds) if isinstance(bounds, (list, tuple)) else []


def _number(value: Any) -> Any:
    """Return a number, also from a text, as Katib and SageMaker write it; ``None`` if it is not one."""
    if isinstance(value, str):
        try:
            value = float(value) if re.search("[.eE]", value) else int(value)
        except ValueError:
            return None
    return value if is_number(value) else None


def _range(form: str, low: Any, high: Any, step: Any, parts: Mapping[str, Any]) -> Any:
    """Return a float or int of a sweep file; ``None`` if the range is empty.

    A ``form`` with the word ``below`` excludes ``high``.
    """
    scale = parts.get("log")
    log = "log" in form.split() or scale is True or (isinstance(scale, str) and scale.lower() in _LOG_WORDS)
    if log and low <= 0 and "int" not in form:  # HyperOpt and W&B write exponents
        low, high = _round_to_4_digits(math.exp(low)), _round_to_4_digits(math.exp(min(high, 700)))
    kinds = [form_of(each) for each in (parts.get("type"), parts.get("form")) if isinstance(each, str)]
    named_kind = next((kind.split()[-1] for kind in kinds if kind not in (None, "any") and kind), None)
    has_int_bounds = isinstance(low, int) and isinstance(high, int)
    whole = (
        "int" in form.split()
        or (form == "any" and has_int_bounds and named_kind in (None, "int"))
        or named_kind == "int"
    )
    if whole and low == int(low) and high == int(high):
        low, high = int(low), int(high) - ("below" in form)
    else:
        whole = False
    if not low < high:
        return None
    found: dict[str, Any] = {"int" if whole else "float": [low, high]}
    if log:
        return {**found, "log": True}
    count = (high - low) / step if step else 0.5
    if count >= 1 and math.isclose(count, round(count), rel_tol=1e-9) and not (whole and step == 1):
        found["step"] = int(step) if whole else step
    return found


def _normal(numbers: list[Any], parts: Mapping[str, Any], *, log: bool) -> Any:
    """Return a float with a normal prior.

    ``numbers`` are the mean and the standard deviation, unless ``parts`` has them.
    """
    mean, sd = (_number(parts[key]) if key in parts else None for key in ("mean", "sd"))
    if mean is None and len(numbers) >= 2:
        mean, sd = numbers[0], numbers[1]
    if mean is None or sd is None or sd <= 0:
        return None
    ends = [mean - _SPREAD * sd, mean, mean + _SPREAD * sd]
    low, middle, high = (_round_to_4_digits(math.exp(min(each, 700)) if log else each) for each in ends)
    return {"float": [low, high], **({"log": True} if log else {}), "default": middle, "prior": "normal"}


def _round_to_4_digits(number: float) -> float:
    return float(f"{number:.4g}")


def _read_object(entry: Any) -> Any:
    """Read a dimension object of Ray Tune, Syne Tune, Optuna or ConfigSpace, or a distribution of SciPy."""
    if entry is None or isinstance(entry, (bool, int, float, list, tuple)):
        return None
    if (frozen := getattr(entry, "dist", None)) is not None and hasattr(frozen, "name"):
        return _read_scipy(entry, str(frozen.name))
    parts = dict(_attributes(entry))
    type_name = type(entry).__name__
    if "categories" in parts or "choices" in parts:
        return _from_parts("choice", [], {"values": parts.get("categories", parts.get("choices"))})
    form = form_of(type_name)
    if "mean" in parts:
        form = "normal"
    elif form is None or not {"low", "high"} <= parts.keys():
        return None
    # Ray's integers end below `upper`, but a quantised domain includes it.
    ray = type(entry).__module__.startswith("ray.") and form == "int"
    below = ray and not parts.get("step")
    return _from_parts(f"{form} below" if below else form, [], parts)


_ATTRIBUTES = {
    **{"lower": "low", "low": "low", "upper": "high", "high": "high"},
    **{"q": "step", "step": "step", "mean": "mean", "sd": "sd"},
}


def _attributes(entry: Any) -> Iterator[tuple[str, Any]]:
    sampler = getattr(entry, "sampler", None)
    inner = getattr(sampler, "sampler", sampler)  # unwraps a quantised domain
    for name, role in _ATTRIBUTES.items():
        for holder in (entry, sampler, inner):
            if is_number(value := getattr(holder, name, None)):
                yield role, value
    for name in ("categories", "choices"):
        if isinstance(values := getattr(entry, name, None), (list, tuple)):
            yield name, values
    yield "log", bool(getattr(entry, "log", False) is True or "log" in type(inner).__name__.lower())


def _read_scipy(entry: Any, name: str) -> Any:
    arguments, keywords = list(getattr(entry, "args", ())), dict(getattr(entry, "kwds", {}))
    if name == "uniform":  # ranges from loc to loc + scale
        low = keywords.get("loc", arguments[0] if arguments else 0)
        width = keywords.get("scale", arguments[1] if len(arguments) > 1 else 1)
        return _from_parts("float", [low, low + width], {})
    names = {"loguniform": "log float", "reciprocal": "log float", "randint": "int below", "norm": "normal"}
    given = [
        *arguments,
        *(keywords[key] for key in ("a", "b", "low", "high", "loc", "scale") if key in keywords),
    ]
    return _from_parts(names[name], given, {}) if name in names else None
