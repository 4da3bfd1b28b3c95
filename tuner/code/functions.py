"""``misfit``: explains why a function cannot take a trial's configuration, and what to write instead."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

_PLAIN = {"int", "float", "str", "bool"}

_PARSED = ("argv", "args", "arguments")
"""Usual names of a parameter that takes the arguments of a command line."""

_PARSERS = {
    "parse_args": "argparse",
    "parse_known_args": "argparse",
    "ArgumentParser": "argparse",
    "argv": "sys.argv",
    "Fire": "fire",
    "docopt": "docopt",
}
"""Maps a name in a function's code to the library that reads the command line."""

_SHOWN = 4

OPTUNA_OBJECTIVE = "optuna_objective"
"""The kind of a trainable that is a function of an Optuna trial."""


class OptunaObjective:
    """A function of an Optuna trial, as a trainable."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.__wrapped__ = function  # for ``inspect.unwrap``
        self.__name__ = str(getattr(function, "__name__", type(function).__name__))

    def __call__(self, trial: Any) -> Any:
        return self.function(trial)


def innermost(trainable: Any) -> Any:
    """Return the user's function or class inside decorators, partials and the wrappers of Ray Tune.

    ``ray.tune.with_parameters`` and ``with_resources`` return functions and classes of Ray's own modules.
    """
    while True:
        of_ray = getattr(trainable, "__module__", "") == "ray.tune.trainable.util"
        if hasattr(trainable, "__wrapped__"):
            trainable = trainable.__wrapped__
        elif isinstance(trainable, functools.partial):
            trainable = trainable.func
        elif of_ray and inspect.isclass(trainable):
            trainable = trainable.__bases__[0]
        elif of_ray and "trainable" in (closed := inspect.getclosurevars(trainable).nonlocals):
            trainable = closed["trainable"]
        else:
            return trainable


def objective_misfit(function: Callable[..., Any], name: str) -> str | None:
    """Return why ``function`` cannot be an Optuna objective; ``None`` if it can be one."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function in C may have no signature
        return None
    if inspect.iscoroutinefunction(function) or not _binds(signature):
        return f"the objective '{name}' must be a function of one argument, the trial, got {signature}"
    return None


def misfit(function: Callable[..., Any], name: str) -> str | None:
    """Return why ``function`` cannot take the configuration, with a remedy; ``None`` if it can.

    The message calls the function ``name``. Without this check, such a function would fail in every trial.
    """
    short = name.rpartition(":")[2]
    if (hydra := _hydra_arguments(function)) is not None:
        return _hydra_remedy(name, short, hydra)
    if (command := _click_parameters(function)) is not None:
        what = f"'{name}' is a click command, {_READS} the command line"
        return f"{what}; {_call_remedy(f'{short}.callback', command)}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        remedy = f"write def train(config): return asyncio.run({short}(config))"
        return f"the function '{name}' is asynchronous, so a call only returns a coroutine; {remedy}"
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function in C may have no signature
        return None
    named = [p for p in signature.parameters.values() if p.kind not in _VARIABLE]
    required = [p for p in named if p.default is p.empty]
    first = next(iter(signature.parameters.values()), None)
    code = getattr(inspect.unwrap(getattr(function, "func", function)), "__code__", None)
    used = set() if code is None else set(code.co_names)
    parser = next((tool for word, tool in _PARSERS.items() if word in used), None)
    if parser is not None and (first is None or (not required and first.name in _PARSED)):
        remedy = "write a function that takes the trial's configuration instead"
        return f"the function '{name}' reads its arguments from the command line ({parser}); {remedy}"
    if first is not None and first.name == "trial" and any(word.startswith("suggest_") for word in used):
        remedy = f"write {{kind: {OPTUNA_OBJECTIVE}, objective: {name}}}"
        return f"the function '{name}' gets its hyperparameters from an Optuna trial; {remedy}"
    if _binds(signature) and not _is_plain(first):
        return None
    what = f"the function '{name}' must take one argument, the configuration, got {signature}"
    if _is_plain(first):
        return f"{what}; {_call_remedy(short, [p.name for p in named])}"
    if len(required) > 1 and required[0].name in _CONFIGURATIONS:
        others = " and ".join(f"'{p.name}'" for p in required[1:])
        return f"{what}; bind {others} with ray.tune.with_parameters"
    return f"{what}; {_call_remedy(short, [p.name for p in required])}" if len(required) > 1 else what


def _binds(signature: inspect.Signature) -> bool:
    try:
        signature.bind({})
    except TypeError:
        return False
    return True


_READS = "which reads its arguments from"

_CONFIGURATIONS = ("config", "cfg", "configuration", "params", "hparams", "hyperparameters", "parameters")

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _hydra_arguments(function: Callable[..., Any]) -> dict[str, Any] | None:
    """Return the arguments of ``@hydra.main``; ``None`` if the function has no such decorator."""
    while function is not None:
        if getattr(function, "__globals__", {}).get("__name__") == "hydra.main":
            return dict(inspect.getclosurevars(function).nonlocals)
        function = getattr(function, "__wrapped__", None)  # type: ignore[assignment]
    return None


def _hydra_remedy(name: str, short: str, given: dict[str, Any]) -> str:
    path, config = given.get("config_path"), given.get("config_name")
    composing = (
        f"hydra.initialize(config_path={path!r}, version_base=None), then "
        f"cfg = hydra.compose({config!r}, [f'++{{key}}={{value}}' for key, value in config.items()])"
    )
    return (
        f"'{name}' is decorated with @hydra.main, {_READS} the command line; write a function that takes the "
        f"trial's configuration, calls {composing}, and returns {short}.__wrapped__(cfg)"
    )


def _click_parameters(function: Callable[..., Any]) -> Sequence[str] | None:
    """Return the parameters of a click or typer command; ``None`` if the function is not one."""
    modules = {cls.__module__.partition(".")[0] for cls in type(function).__mro__}
    if not modules & {"click", "typer"}:
        return None
    return [str(parameter.name) for parameter in getattr(function, "params", ())]


def _is_plain(parameter: inspect.Parameter | None) -> bool:
    """Return whether a parameter takes a number, text or Boolean, and thus not a configuration."""
    if parameter is None or parameter.kind in _VARIABLE:
        return False
    annotation = parameter.annotation
    named = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return named in _PLAIN or isinstance(parameter.default, (int, float, str))


def _call_remedy(called: str, names: Sequence[str]) -> str:
    """Return the remedy: a call of the function with its first few hyperparameters."""
    given = [f"{name}=config['{name}']" for name in names[:_SHOWN]]
    more = ["..."] if len(names) > _SHOWN else []
    return f"write def train(config): return {called}({', '.join([*given, *more])})"
