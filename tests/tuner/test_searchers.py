"""Single searchers beyond the contract: evolution's population and the evenness of a Sobol sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.present import present
from tuner import Evolution, Float, Int, Objective, Random, SearchSpace, Sobol
from tuner.searchers import Ending, Searcher, start

LOSS = Objective(metric="loss", mode="min")
GENES = SearchSpace({name: Int(0, 9) for name in "abcd"})


def population(*fates: tuple[Ending, list[float]], size: int | None = None) -> tuple[Searcher, list[Any]]:
    """Return a search whose founders ended like this, and their configurations; a tournament includes all."""
    size = size or len(fates)
    searcher = start(Evolution(population=size, tournament=size), GENES, objective=LOSS, seed=0)
    configs = []
    for trial, (ending, values) in enumerate(fates):
        configs.append(searcher.suggest(trial))
        for iteration, value in enumerate(values, start=1):
            searcher.report(trial, iteration, value)
        searcher.finish(trial, ending, None if ending == "failed" else values[-1])
    return searcher, configs


def apart(one: Any, other: Any) -> int:
    return sum(one[name] != other[name] for name in GENES.names)


@pytest.mark.parametrize(
    ("fates", "parent"),
    [
        ([("completed", [0.5]), ("completed", [0.1]), ("completed", [0.9])], 1),
        ([("completed", [0.5]), ("stopped", [0.1]), ("completed", [0.9])], 0),
        ([("stopped", [0.5, 0.5]), ("stopped", [0.1]), ("stopped", [0.9, 0.9])], 0),
    ],
    ids=["the best", "one that was not stopped", "of the stopped, one that went further"],
)
def test_a_child_differs_in_one_gene_from_the_fittest(fates: Any, parent: int) -> None:
    searcher, configs = population(*fates)
    assert [apart(searcher.suggest(trial), configs[parent]) for trial in range(3, 9)] == [1] * 6


def test_the_oldest_member_dies_however_fit_it_is() -> None:
    searcher, configs = population(("completed", [0.1]), ("completed", [0.9]), ("completed", [0.5]))
    child = searcher.suggest(3)
    assert apart(child, configs[0]) == 1
    searcher.finish(3, "completed", 0.7)
    # The first was the best; the third is the best that is still alive.
    assert apart(searcher.suggest(4), configs[2]) == 1


def test_a_failed_trial_is_replaced_by_another_founder() -> None:
    searcher, configs = population(("completed", [0.5]), ("failed", [0.0]), ("completed", [0.9]), size=3)
    founder = searcher.suggest(3)
    assert all(apart(founder, config) > 1 for config in configs)
    searcher.finish(3, "completed", 0.8)
    assert apart(searcher.suggest(4), configs[0]) == 1


def test_children_are_bred_while_founders_still_run() -> None:
    searcher = start(Evolution(population=3, tournament=3), GENES, objective=LOSS, seed=0)
    configs = [searcher.suggest(trial) for trial in range(3)]
    searcher.finish(1, "completed", 0.5)
    assert [apart(searcher.suggest(trial), configs[1]) for trial in (3, 4, 5)] == [1] * 3


def test_a_sobol_sequence_covers_the_space_more_evenly_than_random_draws() -> None:
    """For 20 seeds each, every Sobol sequence of 64 points has a lower discrepancy than every random one."""
    from scipy.stats import qmc

    space = SearchSpace({name: Float(0.0, 1.0) for name in "xyz"})

    def discrepancy(spec: Any, seed: int) -> float:
        searcher = start(spec, space, objective=LOSS, seed=seed)
        return float(
            qmc.discrepancy(np.array([list(present(searcher.suggest(k)).values()) for k in range(64)]))
        )

    sobol, random = ([discrepancy(spec, seed) for seed in range(20)] for spec in (Sobol(), Random()))
    assert max(sobol) < min(random)


def test_a_sobol_sequence_continues_past_points_that_constraints_exclude() -> None:
    entries = {name: Float(0.0, 1.0) for name in "xy"}
    free = start(Sobol(), SearchSpace(entries), objective=LOSS, seed=0)
    bound = start(Sobol(), SearchSpace({**entries, "constraints": ["x + y <= 1"]}), objective=LOSS, seed=0)
    drawn = [present(free.suggest(trial)) for trial in range(200)]
    kept = [config for config in drawn if config["x"] + config["y"] <= 1]
    assert [bound.suggest(trial) for trial in range(50)] == kept[:50]
