"""``SearcherContract``: the tests that every searcher must pass."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from tuner.objective import Objective
from tuner.searchers import Searcher, SearcherSpec
from tuner.space import Config, Float, SearchSpace
from tuner.testing._randomness import global_randomness, global_states
from tuner.testing._search import COURSES, build, done, mixed, search, told
from tuner.testing._spaces import ARCHITECTURE_SPACES, CONDITIONAL_SPACES, FINE_PLANE, PLANE, SPACES
from tuner.testing._spec_contract import SpecContract
from tuner.testing._types import Fate


class SearcherContract(SpecContract):
    """The tests that every searcher must pass."""

    spec: ClassVar[SearcherSpec]
    """The settings under test."""

    spaces: ClassVar[Mapping[str, SearchSpace]] = SPACES
    """Spaces to search. Architectures are added if the searcher supports them."""

    conditional_spaces: ClassVar[Mapping[str, SearchSpace]] = CONDITIONAL_SPACES
    """Spaces with conditions, searched if the searcher supports them."""

    searches: ClassVar[int] = 5
    """Searches in each statistical test. Fewer searches fail more often by chance."""

    trials_with_failures: ClassVar[int] = 80
    """Trials of each search of a plane whose one half fails. The last 30 are judged."""

    def suggestions(self, space: SearchSpace) -> list[Config]:
        """Return the suggestions of one search, made once for all tests that compare others with it."""
        made: list[tuple[SearchSpace, list[Config]]] = vars(type(self)).get("_made", [])
        type(self)._made = made
        for known, configs in made:
            if known is space:
                return configs
        made.append((space, search(self.spec, space, **_COURSE)))
        return made[-1][1]

    _made: ClassVar[list[tuple[SearchSpace, list[Config]]]]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test that takes a ``space`` on every space that the searcher can search.

        Tests that take a ``typical_space`` run on a few of them.
        """
        wanted = {"space", "typical_space"}.intersection(metafunc.fixturenames)
        for name in wanted:
            spaces = {**self.spaces, **(self.conditional_spaces if self.spec.conditions else {})}
            if self.spec.opaque:
                spaces |= {
                    each: space
                    for each, space in ARCHITECTURE_SPACES.items()
                    if self.spec.conditions or not space.conditional
                }
            if name == "typical_space":
                spaces = {each: space for each, space in spaces.items() if each in _TYPICAL}
            metafunc.parametrize(name, list(spaces.values()), ids=list(spaces))
        if "events" in metafunc.fixturenames:
            metafunc.parametrize("events", list(COURSES.values()), ids=list(COURSES))

    def test_it_accepts_spaces_that_it_can_search(self, space: SearchSpace) -> None:
        assert self.spec.problems(space) == []

    def test_it_refuses_conditions_unless_it_can_search_them(self) -> None:
        for space in CONDITIONAL_SPACES.values():
            problems = self.spec.problems(space)
            assert (problems == []) is self.spec.conditions
            assert all(" " in problem.what for problem in problems)

    def test_it_refuses_an_architecture_unless_it_can_search_one(self) -> None:
        space = ARCHITECTURE_SPACES["an architecture"]
        assert (self.spec.problems(space) == []) is self.spec.opaque

    def test_every_suggestion_lies_in_the_space(self, space: SearchSpace) -> None:
        assert [config for config in self.suggestions(space) if not space.contains(config)] == []

    def test_asked_again_for_a_trial_it_forgets_the_first_suggestion(
        self, typical_space: SearchSpace
    ) -> None:
        _skip_unless(not self.spec.exhaustive, "its trials are fixed")
        searcher = build(self.spec, typical_space)
        for trial in range(12):
            for _ in range(1 + trial % 2):
                config = searcher.suggest(trial)
            assert config is not None
            assert typical_space.contains(config)
            searcher.report(trial, 1, float(trial % 5))
            searcher.finish(trial, "completed", float(trial % 5))

    def test_it_accepts_trials_of_another_sweep(self, space: SearchSpace) -> None:
        _skip_unless(not self.spec.exhaustive, "its trials are fixed")
        searcher = self.spec.build(space, objective=_LOSS, seed=0)
        _report_other_trials(searcher, space, value=lambda config: 1.0)
        for trial in range(2):
            config = told(searcher, trial, [0.5])
            assert space.contains(config) or not space.allows(config)

    def test_it_learns_from_trials_of_another_sweep_if_and_only_if_it_learns(self) -> None:
        searchers = [self.spec.build(PLANE, objective=_LOSS, seed=0) for _ in range(2)]
        _report_other_trials(searchers[0], PLANE, value=lambda config: float(config["x"]))
        _report_other_trials(searchers[1], PLANE, value=lambda config: -float(config["x"]))
        differ = (told(searchers[0], trial, [0.5]) != told(searchers[1], trial, [0.5]) for trial in range(30))
        assert any(differ) is self.spec.learns

    def test_a_suggestion_belongs_to_the_caller(self) -> None:
        kept = []

        def clearing(trial: int, config: Config) -> Fate:
            kept.append(dict(config))
            config.clear()
            return mixed(trial, config)

        search(self.spec, SPACES["flat"], **{**_COURSE, "fate": clearing})
        assert kept == self.suggestions(SPACES["flat"])

    def test_the_same_seed_and_calls_give_the_same_suggestions(self, typical_space: SearchSpace) -> None:
        """A sweep resumes from its journal: a new searcher receives the calls that the first one received.

        In the other spaces, ``test_minimising_mirrors_maximising`` compares two searches with one seed.
        """
        assert search(self.spec, typical_space, **_COURSE) == self.suggestions(typical_space)

    def test_the_same_seed_gives_the_same_suggestions_in_another_process(self) -> None:
        there = _other_process().submit(search, self.spec, SPACES["flat"], **_COURSE).result()
        assert there == self.suggestions(SPACES["flat"])

    def test_another_seed_gives_other_suggestions_unless_all_are_tried(self) -> None:
        other = search(self.spec, SPACES["flat"], **{**_COURSE, "seed": 6})
        assert self.spec.exhaustive or other != self.suggestions(SPACES["flat"])

    def test_results_matter_if_and_only_if_it_learns(self) -> None:
        rising, falling = (build(self.spec, PLANE) for _ in range(2))

        def differs(trial: int) -> bool:
            configs = rising.suggest(trial), falling.suggest(trial)
            for searcher, config, sign in zip((rising, falling), configs, (1, -1), strict=True):
                assert config is not None
                searcher.report(trial, 1, sign * config["x"])
                searcher.finish(trial, "completed", sign * config["x"])
            return configs[0] != configs[1]

        assert any(map(differs, range(40))) is self.spec.learns

    def test_without_learning_a_trial_depends_on_seed_and_number_alone(self) -> None:
        _skip_unless(not self.spec.learns, "it learns")
        forwards = search(self.spec, SPACES["flat"], trials=20, fate=mixed, concurrent=5)
        searcher = build(self.spec, SPACES["flat"])
        backwards = [searcher.suggest(trial) for trial in reversed(range(20))]
        assert backwards[::-1] == forwards

    def test_it_handles_every_course_of_events(self, events: Callable[[int, Config], Fate]) -> None:
        space = SPACES["flat"]
        configs = search(self.spec, space, trials=20, fate=events, concurrent=5)
        assert len(configs) == 20
        assert all(space.contains(config) for config in configs)

    def test_twenty_trials_can_be_open_and_differ(self) -> None:
        searcher = build(self.spec, PLANE)
        for trial in range(12):
            told(searcher, trial, [float(trial % 5)])
        open_trials = [searcher.suggest(trial) for trial in range(12, 32)]
        assert len({json.dumps(config) for config in open_trials}) == 20

    def test_the_first_twenty_trials_can_be_open_and_differ(self) -> None:
        searcher = build(self.spec, PLANE)
        assert len({json.dumps(searcher.suggest(trial)) for trial in range(20)}) == 20

    def test_minimising_mirrors_maximising(self, space: SearchSpace) -> None:
        def negated(trial: int, config: Config) -> Fate:
            ending, values = mixed(trial, config)
            return ending, [-value for value in values]

        mirrored = search(self.spec, space, **{**_COURSE, "fate": negated, "mode": "max"})
        assert mirrored == self.suggestions(space)

    def test_global_random_states_are_neither_used_nor_changed(self) -> None:
        expected = self.suggestions(SPACES["flat"])  # imports may draw random numbers
        with global_randomness(1):
            before = global_states()
            assert search(self.spec, SPACES["flat"], **_COURSE) == expected
            assert before.items() <= global_states().items()

    def test_learning_beats_random_search_on_a_smooth_problem(self) -> None:
        """The median of the searches, 5 by default, is below the median of random search.

        Odds of failing by chance, from 80 resampled searches each: below 1 in 20,000 for Optuna's TPE and
        CMA-ES, 1 in 5,000 for HyperOpt's TPE, 1 in 800 for evolution, 1 in 100 for reinforce (8 values per
        dimension), 1 in 40 for NSGA-II (population 8). Random search fails in half of the cases.
        """
        _skip_unless(self.spec.learns, "it does not learn")
        # A search ends at its first trial below the median, and the test when more than half got there.
        better = filter(None, (_beats_random_search(self.spec, seed) for seed in range(self.searches)))
        needed = self.searches // 2 + 1
        assert len(list(itertools.islice(better, needed))) == needed

    def test_learning_avoids_a_region_that_always_fails(self) -> None:
        """Half of the plane fails. At most 40% of the last 30 trials are in it, over all searches.

        Odds of failing by chance, from 40 resampled searches each: below 1 in 20,000 for Optuna's and
        HyperOpt's TPE, none seen for CMA-ES and reinforce, 1 in 700 for annealing, 1 in 200 for evolution,
        1 in 40 for NSGA-II (population 8). Random search (mean 50%, standard deviation 4%) passes 1 in 100
        times.
        """
        _skip_unless(self.spec.learns, "it does not learn")

        def fate(trial: int, config: Config) -> Fate:
            fails = config["x"] > 0.5
            return ("failed", []) if fails else done((config["x"] - 0.3) ** 2 + (config["y"] - 0.5) ** 2)

        late = [
            config
            for seed in range(self.searches)
            for config in search(
                self.spec, FINE_PLANE, trials=self.trials_with_failures, seed=seed, fate=fate
            )[-30:]
        ]
        assert sum(config["x"] > 0.5 for config in late) <= 0.4 * len(late)

    def test_saving_changes_no_suggestion(self, tmp_path: Any) -> None:
        saving, plain = (build(self.spec, SPACES["flat"]) for _ in range(2))
        for trial in range(14):
            assert told(saving, trial, [float(trial % 5)]) == told(plain, trial, [float(trial % 5)])
            saving.save(tmp_path)

    def test_it_ends_after_its_size_or_never(self, space: SearchSpace) -> None:
        size = self.spec.size(space)
        assert (size is not None) is self.spec.exhaustive
        if size is None:
            assert len(self.suggestions(space)) == _COURSE["trials"]
            return
        searcher = build(self.spec, space)
        configs = [told(searcher, trial, [0.0]) for trial in range(size)]
        assert all(space.contains(config) for config in configs)
        assert len({json.dumps(config) for config in configs}) == size
        assert [searcher.suggest(trial) for trial in range(size, size + 3)] == [None] * 3


_LOSS = Objective(metric="loss", mode="min")

_COURSE: dict[str, Any] = {"trials": 18, "fate": mixed, "concurrent": 3, "seed": 5}
"""What happens in a search that others are compared with."""

_TYPICAL = (
    "flat",
    "values of all kinds",
    "constraints",
    "conditions by range",
    "groups three deep",
    "an architecture under a condition",
)
"""Spaces for tests of behaviour that depends little on the space."""


@lru_cache(maxsize=1)
def _other_process() -> ProcessPoolExecutor:
    """Return a process that hashes texts differently: an order of iteration that depends on it shows."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


_CUBE = SearchSpace({name: Float(0.0, 1.0, points=8) for name in "xyz"})

_MEDIAN_OF_RANDOM_SEARCH = (0.75 / math.pi * (1 - 0.5 ** (1 / 60))) ** (2 / 3)
"""The median of the best of 60 random trials: the squared distance from a point in the cube.

One trial is nearer if it lies in a ball around the point, with the ball's volume as probability.
"""


def _beats_random_search(spec: SearcherSpec, seed: int) -> bool:
    """Return whether the best of 60 trials comes nearer to a point in the cube than random search does."""

    def distance(config: Config) -> float:
        return float(sum((config[name] - at) ** 2 for name, at in (("x", 0.2), ("y", 0.5), ("z", 0.8))))

    def near(config: Config) -> bool:
        return bool(distance(config) < _MEDIAN_OF_RANDOM_SEARCH)

    def fate(trial: int, config: Config) -> Fate:
        return done(distance(config))

    return near(search(spec, _CUBE, trials=60, seed=seed, fate=fate, until=near)[-1])


def _report_other_trials(
    searcher: Searcher, space: SearchSpace, *, value: Callable[[Config], float], trials: int = 24
) -> None:
    """Report trials whose configurations an earlier sweep chose. One in four failed."""
    rng = np.random.default_rng(0)
    for trial in range(-trials, 0):
        config = space.sample(rng)
        searcher.take(trial, config)
        failed = trial % 4 == 0
        searcher.report(trial, 1, value(config))
        searcher.finish(trial, "failed" if failed else "completed", None if failed else value(config))


def _skip_unless(condition: bool, reason: str) -> None:
    import pytest

    if not condition:
        pytest.skip(reason)
