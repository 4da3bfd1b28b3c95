"""``RaySpace``: translates a ``param_space`` of Ray Tune, domain by domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from ray.tune.search.sample import (
    Categorical,
    Domain,
    Float,
    Function,
    Integer,
    LogUniform,
    Normal,
    Quantized,
)

from tuner import space as ours
from tuner.code.nesting import flattened
from tuner.errors import Problem, SpecError

_GRID = "grid_search"


class RaySpace:
    """The hyperparameters of a ``param_space`` as a sweep has them.

    Ray draws the ends of ``quniform`` half as often as the values between, and rounds ``lograndint`` down. A
    sweep draws all values with equal probability, and rounds to the nearest.
    """

    def __init__(self, param_space: Mapping[str, Any]) -> None:
        self.entries: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.grid: list[str] = []
        """Names that Ray searches as a grid."""
        self.drawn: list[str] = []
        """Names that Ray draws."""
        self.starts: dict[str, Any] = {}
        """The value of each hyperparameter that is the same in all trials until the scheduler changes it."""
        named = flat(param_space)
        self.is_nested = named.keys() != param_space.keys()
        for name, value in named.items():
            try:
                self.entries[name] = self._entry(name, value)
            except SpecError as error:
                self.problems += [each.inside(f"param_space.{name}") for each in error.problems]

    def point(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return an initial point under the names of this space."""
        return flattened(given, is_leaf=lambda _: False) if self.is_nested else dict(given)

    def first_configs(self, count: int, *, seed: int) -> list[dict[str, Any]]:
        """Return the configurations with which trials start, if ``starts`` fixes some of their values."""
        space = ours.SearchSpace(self.entries)
        return [
            space.sample(np.random.default_rng([seed, number]), given=self.starts) for number in range(count)
        ]

    def _entry(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping) and set(value) == {_GRID}:
            self.grid.append(name)
            return ours.Choice(list(value[_GRID]))
        if isinstance(value, Domain):
            self.drawn.append(name)
            return dimension_of(value)
        if places := list(_domains(value)):
            what = f"a domain inside a {type(value).__name__} cannot be searched; give it a name of its own"
            raise SpecError([Problem(where, what) for where in places])
        return value


def flat(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested domains under dotted names. A dictionary without domains is a value."""
    return flattened(entries, is_leaf=lambda item: set(item) == {_GRID} or not list(_domains(item)))


def dimension_of(domain: Domain) -> Any:
    """Return the dimension of a domain. One with a single value is a constant.

    Raises SpecError for a domain that a sweep cannot search.
    """
    sampler = domain.get_sampler()
    step = sampler.q if isinstance(sampler, Quantized) else None
    sampler = sampler.get_sampler() if isinstance(sampler, Quantized) else sampler
    if isinstance(domain, Function):
        what = "the values of tune.sample_from come from code, which no searcher can see"
        raise _refusal(f"{what}; write 'when', a group under a choice, or a constraint")
    if isinstance(domain, Categorical):
        return ours.Choice(domain.categories)
    if isinstance(sampler, Normal):
        low, high = sampler.mean - 2.5 * sampler.sd, sampler.mean + 2.5 * sampler.sd
        form = f"tuner.Float({low:g}, {high:g}, default={sampler.mean:g}, prior='normal')"
        raise _refusal(f"tune.randn has no bounds; write {form}, which is cut off at its ends")
    if not isinstance(domain, (Float, Integer)):
        raise _refusal(f"a {type(domain).__name__} cannot be searched")
    low, high = domain.lower, domain.upper
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        raise _refusal(f"must have two finite bounds, got {low} and {high}")
    is_log = isinstance(sampler, LogUniform)
    is_whole = isinstance(domain, Integer)
    if is_whole and step in (None, 1):
        high, step = high - 1, None
    if is_log and step is not None:
        raise _refusal("the logarithmic scale and steps (q) cannot be combined; leave out one of them")
    if step is not None:
        low, high = _snapped(low, step, math.ceil), _snapped(high, step, math.floor)
    if low == high:
        return low
    options = {"log": True} if is_log else {} if step is None else {"step": step}
    return ours.Int(int(low), int(high), **options) if is_whole else ours.Float(low, high, **options)


def _snapped(bound: float, step: float, to_whole: Callable[[float], int]) -> float:
    """Return the multiple of ``step`` at a bound, or inwards of it."""
    share = bound / step
    count = round(share) if math.isclose(share, round(share)) else to_whole(share)
    return float(f"{count * step:.12g}") if isinstance(step, float) else count * step


def _domains(value: Any, where: str = "") -> Iterator[str]:
    """Yield the places of domains inside a value."""
    if isinstance(value, Domain) or (isinstance(value, Mapping) and set(value) == {_GRID}):
        yield where
        return
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, (list, tuple)):
        inner = enumerate(value)
    for key, item in inner:
        yield from _domains(item, f"{where}.{key}" if where else str(key))


def _refusal(what: str) -> SpecError:
    return SpecError([Problem("", what)])
