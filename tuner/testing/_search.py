"""``search``: ask a searcher for trials and report their outcomes to it, without a cluster."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from tuner.objective import Ending, Objective
from tuner.searchers import Searcher, SearcherSpec, start
from tuner.space import Config, SearchSpace
from tuner.testing._types import Fate, Mode


def done(*values: float) -> Fate:
    """Return the fate of a trial that reports ``values`` and completes."""
    return "completed", values


def mixed(trial: int, config: Config) -> Fate:
    """Return a pseudo-random fate that depends on the trial's number only."""
    rng = random.Random(trial)
    ending: Ending = rng.choice(("completed", "completed", "stopped", "failed"))
    return ending, [round(rng.gauss(0, 1), 1) for _ in range(rng.randrange(4))]


COURSES: dict[str, Callable[[int, Config], Fate]] = {
    "any mix of endings and values": mixed,
    "all fail": lambda trial, config: ("failed", []),
    "all fail after a result": lambda trial, config: ("failed", [1.0]),
    "all are stopped": lambda trial, config: ("stopped", [float(trial % 7)] * (1 + trial % 3)),
    "none reports": lambda trial, config: (("completed", "stopped")[trial % 2], []),
    "all values are equal": lambda trial, config: done(3.0, 3.0),
    "values are huge": lambda trial, config: done((1e300, -1e300, 0.0, 1.7e308)[trial % 4]),
    "values are tiny": lambda trial, config: done((5e-324, -5e-324, 0.0, -0.0)[trial % 4]),
    "one in ten succeeds": lambda trial, config: done(1.0) if trial % 10 == 9 else ("failed", []),
}
"""Name -> function that gives the fate of each trial from its number and configuration."""


def build(spec: SearcherSpec, space: SearchSpace, *, mode: Mode = "min", seed: int = 0) -> Searcher:
    """Return a new searcher that optimises a loss."""
    return start(spec, space, objective=Objective(metric="loss", mode=mode), seed=seed)


def told(searcher: Searcher, trial: int, values: Sequence[float]) -> Config:
    """Return the suggestion for a trial that then reports ``values`` and completes."""
    config = searcher.suggest(trial)
    assert config is not None
    for _ in _report_steps(searcher, trial, "completed", values):
        pass
    return config


def search(
    spec: SearcherSpec,
    space: SearchSpace,
    *,
    trials: int,
    fate: Callable[[int, Config], Fate] = mixed,
    concurrent: int = 1,
    mode: Mode = "min",
    seed: int = 0,
    until: Callable[[Config], bool] = lambda config: False,
) -> list[Config]:
    """Return the suggestions of a search, fewer than ``trials`` if the searcher has no more.

    ``concurrent`` trials are open at once, and they report and end in a shuffled order. The search ends with
    the first suggestion for which ``until`` is true.
    """
    searcher = build(spec, space, mode=mode, seed=seed)
    rng = random.Random(0)
    configs: list[Config] = []
    open_trials: dict[int, Iterator[None]] = {}
    exhausted = False
    while open_trials or not (exhausted or len(configs) == trials):
        if len(open_trials) < concurrent and not exhausted and len(configs) < trials:
            trial = len(configs)
            config = searcher.suggest(trial)
            if config is None:
                exhausted = True
                continue
            configs.append(config)
            if until(config):
                return configs
            open_trials[trial] = _report_steps(searcher, trial, *fate(trial, config))
            continue
        trial = rng.choice(list(open_trials))
        if next(open_trials[trial], "ended") == "ended":
            del open_trials[trial]
    return configs


def _report_steps(searcher: Searcher, trial: int, ending: Ending, values: Sequence[float]) -> Iterator[None]:
    """Report a trial's results and then its end to the searcher, one call per step of the iterator."""
    for iteration, value in enumerate(values, start=1):
        searcher.report(trial, iteration, value)
        yield
    searcher.finish(trial, ending, values[-1] if values and ending != "failed" else None)
