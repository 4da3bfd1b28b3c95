"""Comparison by several objectives, against the definitions and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.pareto import crowding, front, fronts, ranking

SCORES = st.integers(1, 3).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(-3, 3).map(float)] * m), min_size=1, max_size=30)
)


def dominates(one, other):
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


@given(SCORES)
def test_the_front_holds_all_undominated_scores(scores):
    expected = [i for i, own in enumerate(scores) if not any(dominates(other, own) for other in scores)]
    assert front(scores) == expected


@given(SCORES)
def test_each_front_is_the_front_of_the_scores_that_earlier_fronts_leave(scores):
    left = list(range(len(scores)))
    for members in fronts(scores):
        assert members == [left[i] for i in front([scores[i] for i in left])]
        left = [i for i in left if i not in members]
    assert left == []


@given(SCORES)
def test_the_ranking_holds_each_score_once_and_front_after_front(scores):
    order = ranking(scores)
    level = {i: number for number, members in enumerate(fronts(scores)) for i in members}
    assert sorted(order) == list(range(len(scores)))
    assert [level[i] for i in order] == sorted(level.values())


@given(SCORES.filter(lambda scores: len(scores[0]) == 1))
def test_the_ranking_by_one_objective_is_a_sort(scores):
    assert [scores[i] for i in ranking(scores)] == sorted(scores, reverse=True)


def test_crowding_distance_sums_the_gaps_between_neighbours():
    scores = np.array([[0.0, 10.0], [1.0, 6.0], [4.0, 5.0], [10.0, 0.0]])
    assert crowding(scores) == pytest.approx([np.inf, 4 / 10 + 5 / 10, 9 / 10 + 6 / 10, np.inf])


def test_the_ends_and_isolated_points_of_a_front_come_first():
    assert ranking([[0, 10], [1, 6], [4, 5], [10, 0]]) == [0, 3, 2, 1]


def test_no_scores_have_no_front():
    assert front([]) == ranking([]) == []
