"""Strict YAML 1.2: read and write sweep files, and apply ``key=value`` overrides."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.spec import describe, nearest


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML 1.2 file.

    Raises SpecError when the file cannot be read, is not YAML, holds no mapping, or repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError([Problem(str(path), f"there is no such file{_similar_file_hint(path)}")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(str(path), f"cannot be read: {error}")]) from None
    data = _parse(text, str(path))
    _check_keys(data)
    if not isinstance(data, dict):
        raise SpecError([Problem(str(path), f"must hold a mapping, got {describe(data)}")])
    return data


def _similar_file_hint(path: Path) -> str:
    """Return a hint at a YAML file in the same folder with a similar name; empty if there is none."""
    folder = path.parent
    names = [each.name for each in folder.glob("*.y*ml")] if folder.is_dir() else []
    near = nearest(path.name, names)
    return f"; did you mean '{folder / near}'?" if near is not None else ""


def to_yaml(data: dict[str, Any]) -> str:
    """Return a mapping as YAML 1.2."""
    stream = io.StringIO()
    _yaml().dump(data, stream)
    return stream.getvalue()


def read_scalar(text: str) -> Any:
    """Return the value of a YAML text, such as a number on the command line. Raises SpecError."""
    return _parse(text, "")


def _parse(text: str, where: str) -> Any:
    """Return the value of a YAML text. Raises SpecError, with ``where`` as the place, for invalid YAML."""
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(text)
    except YAMLError as error:
        raise SpecError([Problem(where, _yaml_problem(error))]) from None
    except RecursionError:
        raise SpecError([Problem(where, "not valid YAML: it is nested too deeply")]) from None


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor
    from ruamel.yaml.resolver import VersionedResolver

    class Constructor(SafeConstructor):
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                value = super().construct_object(node, deep)
                if isinstance(value, str):
                    value.encode()  # raises for an unpaired surrogate
                return value
            except (ValueError, LookupError):  # `!!int x`, or a number with more digits than Python accepts
                what = f"cannot read {describe(node.value)} as {node.tag.rpartition(':')[2]}"
                raise ConstructorError(None, None, what, node.start_mark) from None

    class CoreSchema(VersionedResolver):
        # ruamel.yaml's own rules read 2024-01-01 as a date and 1_2 as 12, as YAML 1.1 did.
        versioned_resolver = _CORE_SCHEMA

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Resolver = CoreSchema
    yaml.Constructor = Constructor
    yaml.default_flow_style = False
    yaml.allow_unicode = False  # unquoted U+0085 and U+2028 would be read back as line ends
    yaml.sort_base_mapping_type_on_output = False
    return yaml


def _core_schema() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return first character -> tags and patterns of plain scalars that are not text.

    This is the core schema of YAML 1.2.2, section 10.3.2.
    """
    schema: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, first in (
        ("null", r"(null|Null|NULL|~|)$", "nN~"),
        ("bool", r"(true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$", "-+.0123456789"),
        ("float", r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$", "-+."),
        ("merge", r"<<$", "<"),
    ):
        for character in [*first, *([""] if tag == "null" else [])]:
            schema.setdefault(character, []).append((f"tag:yaml.org,2002:{tag}", re.compile(pattern)))
    return schema


_CORE_SCHEMA = _core_schema()


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark else ""
    what = str(getattr(error, "problem", None) or error).splitlines()[0]
    if repeated := re.match('found duplicate key "(.*?)" with value', what):
        return f"{line}duplicate key '{repeated[1]}'"
    if what.startswith("but "):  # ruamel.yaml's context is the first half of the sentence
        what = f"{getattr(error, 'context', '')}, {what}"
    return f"{line}not valid YAML: {what}"


def _check_keys(data: Any) -> None:
    """Raise SpecError for keys that are not text, and for a value that holds itself by an alias."""
    problems: list[Problem] = []
    checked: set[int] = set()

    def check(value: Any, where: tuple[str, ...], above: frozenset[int]) -> None:
        if id(value) in above:
            problems.append(Problem(".".join(where), "must not hold itself (by an alias)"))
        elif isinstance(value, (dict, list)) and id(value) not in checked:
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                # A hyperparameter's value may have whole numbers as keys, for example class_weight.
                inside = where[:1] == ("space",) and len(where) > 1 and type(key) is int
                if isinstance(value, dict) and not isinstance(key, str) and not inside:
                    problems.append(Problem(".".join(where), f"a key must be text, got {describe(key)}"))
                check(inner, (*where, str(key)), above | {id(value)})
            checked.add(id(value))

    check(data, (), frozenset())
    if problems:
        raise SpecError(problems)


def override(data: dict[str, Any], text: str) -> None:
    """Set one value of a sweep in place. ``text`` is ``dotted.key=value`` with a YAML value.

    Raises SpecError when the text is malformed or the path leads through a value without keys.
    """
    key, equals, written = text.partition("=")
    if not equals or not key:
        raise SpecError([Problem("--set", f"must be key=value, got '{text}'")])
    value = _parse(written, f"--set {key}")
    try:
        _check_keys(value)
    except SpecError as error:
        raise SpecError(problem.inside(f"--set {key}") for problem in error.problems) from None
    *path, last = key.split(".")
    for part in path:
        inner = data.get(part)
        if isinstance(inner, str):  # `searcher: optuna` becomes `{kind: optuna, ...}`
            inner = {"metric" if part == "objective" else "kind": inner}
        elif inner is None:
            inner = {}
        elif isinstance(inner, dict):
            inner = dict(inner)  # an alias may share this mapping with another part
        else:
            raise SpecError([Problem(f"--set {key}", f"'{part}' must be a mapping, got {describe(inner)}")])
        data[part] = inner
        data = inner
    data[last] = value
