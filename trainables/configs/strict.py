"""Strict pydantic models, with errors of the form *where: what is wrong; what must hold, got value*."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys, text in place of numbers, and non-finite values."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _unwrap_numpy_scalars(cls, values: Any) -> Any:
        # Searchers draw numpy.int64 and numpy.str_, which strict validation refuses.
        if not isinstance(values, Mapping):
            return values
        return {key: value.item() if _is_numpy_scalar(value) else value for key, value in values.items()}


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], values: Mapping[str, Any], *, where: str) -> M:
    """Build ``model`` from ``values``.

    ``where`` is the place of an unknown key; the place of an invalid field is its name. Raises ValueError
    with one line per mistake: *where: what is wrong; what must hold, got value*.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        sentences = [_sentence(detail, model, where) for detail in error.errors(include_url=False)]
        raise ValueError("\n".join(sentences)) from None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` with the nearest known spelling, or a list of all known ones."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"must be one of {', '.join(known)}"


def _sentence(detail: ErrorDetails, model: type[BaseModel], where: str) -> str:
    field = ".".join(map(str, detail["loc"]))
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key '{field}'; {did_you_mean(field, model.model_fields)}"
    if detail["type"] == "literal_error":
        known = [part.strip(" '") for part in context["expected"].replace(" or ", ", ").split(",")]
        return f"{field}: unknown value {detail['input']!r}; {did_you_mean(detail['input'], known)}"
    if "error" in context:
        return f"{field}: {context['error']}" if field else str(context["error"])
    return f"{field}: {detail['msg'].replace('Input should', 'must')}, got {detail['input']!r}"


def _is_numpy_scalar(value: object) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
