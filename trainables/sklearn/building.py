"""Build an estimator or a pipeline from import paths and a trial's hyperparameters."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from trainables.configs import did_you_mean
from trainables.data.sources import Source, started_in
from trainables.sklearn import boosting

_SPELLING = 0.85
"""Smallest similarity to a known parameter, in [0, 1], at which a name counts as its misspelling."""

NO_STEP = ("passthrough", "drop")
"""Texts in the place of a step that does nothing, and of one that drops its columns."""

_PATH = re.compile(r"[\w./-]+:[A-Za-z_]\w*")


def build(
    paths: str | Mapping[str, str], parameters: Mapping[str, Any], *, random_state: int, threads: int | None
) -> Any:
    """Return a new estimator with these parameters.

    - ``parameters``: an import path replaces a step, or an estimator inside another.
    - ``random_state``: the value of each ``random_state`` that is unset.
    - ``threads``: CPU threads of libraries that would use all; ``None`` leaves them alone.

    Raises ValueError when a path leads to no estimator, or a parameter does not exist.
    """
    if isinstance(paths, str):
        estimator = _made(paths, where="estimator")
    else:
        made = ((path if path in NO_STEP else _made(path, where="estimator")) for path in paths.values())
        estimator = Pipeline(list(zip(paths, made, strict=True)))
    steps_first = sorted(parameters, key=lambda name: name.count("__"))
    rest = dict(parameters)
    for name in steps_first:
        if _is_estimator_path(estimator, name, parameters[name]):
            estimator.set_params(**{name: _made(rest.pop(name), where=name)})
    known = estimator.get_params(deep=True)
    unknown = [name for name in rest if name not in known and not _is_accepted(estimator, name, known)]
    if unknown:
        raise ValueError("\n".join(_unknown(estimator, name, known) for name in unknown))
    estimator.set_params(**{name: _as_default(value, known.get(name)) for name, value in rest.items()})
    seeds = {
        name: random_state
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None and name not in parameters
    }
    estimator.set_params(**seeds)
    boosting.set_defaults(last_step(estimator), threads=threads, random_state=random_state)
    return estimator


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline; any other estimator itself."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def with_last_step(estimator: Any, last: Any) -> Any:
    """Return a copy of a pipeline with another last step; for any other estimator, ``last``."""
    if not isinstance(estimator, Pipeline):
        return last
    return clone(estimator).set_params(**{estimator.steps[-1][0]: last})


def with_class_numbers(parameters: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Replace class names or values by class numbers in the keys of ``class_weight`` parameters.

    Raises ValueError for an unknown class.
    """
    numbers = {str(value): number for number, value in enumerate(source.class_values.tolist())}
    numbers |= {name: number for number, name in enumerate(source.class_names)}

    def number(name: str, key: Any) -> int:
        if str(key) not in numbers:
            raise ValueError(f"{name}: there is no class {key!r}; {did_you_mean(str(key), numbers)}")
        return numbers[str(key)]

    return {
        name: {number(name, key): weight for key, weight in value.items()}
        if name.rpartition("__")[2] == "class_weight" and isinstance(value, Mapping) and numbers
        else value
        for name, value in parameters.items()
    }


def load(path: str, *, where: str) -> Any:
    """Return the object of an import path, ``module:Name`` or ``file.py:Name``.

    ``where`` is the place of the path in a message. Raises ValueError when there is none.
    """
    module, separator, name = path.rpartition(":" if ":" in path else ".")
    if not separator:
        raise ValueError(f"{where}: must be an import path such as sklearn.svm:SVC, got '{path}'")
    try:
        found = _file(module) if module.endswith(".py") else importlib.import_module(module)
    except FileNotFoundError:
        raise ValueError(f"{where}: there is no file '{started_in() / module}'") from None
    except Exception as error:  # the user's module may raise anything
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: '{module}' of '{path}' cannot be imported: {what}") from error
    if not hasattr(found, name):
        public = [key for key in vars(found) if not key.startswith("_")]
        raise ValueError(f"{where}: '{module}' has no '{name}'; {did_you_mean(name, public)}")
    return getattr(found, name)


def _is_estimator_path(estimator: Any, name: str, value: Any) -> bool:
    """Return whether a parameter's value is the path of an estimator: its place can hold one."""
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        return False
    known = estimator.get_params(deep=True)
    if name not in known:
        return False
    default = known[name]
    return default is None or hasattr(default, "fit") or (isinstance(default, str) and default in NO_STEP)


def _unknown(estimator: Any, name: str, known: Mapping[str, Any]) -> str:
    """Return the message about a parameter that does not exist."""
    step = name.rpartition("__")[0]
    if isinstance(known.get(step), str) and known[step] in NO_STEP:
        return (
            f"{name}: the step '{step}' is {known[step]} in this trial, which has no parameters; "
            f"add when: {{{step}: the step that has it}}"
        )
    return f"{name}: {type(estimator).__name__} has no such parameter; {did_you_mean(name, known)}"


def _as_default(value: Any, default: Any) -> Any:
    """Turn a list into a tuple if the default is a tuple, since a sweep file has only lists."""
    return tuple(value) if isinstance(value, list) and isinstance(default, tuple) else value


def _is_accepted(estimator: Any, name: str, known: Iterable[str]) -> bool:
    """Return whether ``set_params`` accepts a parameter that ``get_params`` omits, such as ``**kwargs``."""
    if difflib.get_close_matches(name, known, n=1, cutoff=_SPELLING):
        return False
    try:
        clone(estimator).set_params(**{name: None})
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _made(path: str, *, where: str) -> Any:
    """Return a new estimator from the path of a class, an instance, or a function that returns one."""
    made = load(path, where=where)
    if inspect.isclass(made) or inspect.isfunction(made):
        try:
            made = made()
        except Exception as error:  # the user's function may raise anything
            raise ValueError(f"{where}: '{path}()' raised {type(error).__name__}: {error}") from error
    if not hasattr(made, "get_params"):
        raise ValueError(f"{where}: '{path}' must be or return an estimator, got {type(made).__name__}")
    return clone(made)


def _file(name: str) -> ModuleType:
    """Import a file as a module under its own name, which joblib needs. Import it again after a change."""
    path = (started_in() / name).resolve()
    changed = path.stat().st_mtime_ns
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    own = sys.modules.get(path.stem)
    free = own is None or getattr(own, "__file__", None) == str(path)
    known = path.stem if free else f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    loaded = sys.modules.get(known)
    if loaded is not None and loaded.__spec__ is not None and loaded.__spec__.loader_state == changed:
        return loaded
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader_state = changed
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[known] = module
    return module
