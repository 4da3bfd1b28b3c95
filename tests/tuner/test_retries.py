"""Which failed trials are retried."""

import pytest

from tuner.cluster.retries import Retries


def raised(name="OSError", line=3):
    place = f'  File "train.py", line {line}, in step\n    step()'
    return f"Traceback (most recent call last):\n{place}\n{name}: gone"


def test_an_error_after_progress_is_retried_once():
    retries = Retries(None)
    assert retries.tries_again(0, raised(), iteration=8, used=False)
    assert not retries.tries_again(0, raised(), iteration=8, used=False)


def test_an_error_in_a_used_process_is_retried_in_a_fresh_one():
    retries = Retries(None)
    assert retries.tries_again(0, raised(), iteration=0, used=True)
    assert not Retries(None).tries_again(0, raised(), iteration=0, used=False)


@pytest.mark.parametrize("iteration", [0, 5])
def test_an_error_seen_in_a_fresh_process_is_not_retried_for_other_trials(iteration):
    retries = Retries(None)
    assert retries.tries_again(0, raised(), iteration=iteration, used=True)
    assert not retries.tries_again(0, raised(), iteration=iteration, used=False)
    assert not retries.tries_again(1, raised(), iteration=iteration, used=True)
    assert retries.tries_again(2, raised("ValueError"), iteration=iteration, used=True)
    assert retries.tries_again(3, raised(line=9), iteration=iteration, used=True)


def test_only_failures_without_progress_count():
    retries = Retries(1)
    for iteration in range(1, 9):
        retries.progressed(0, iteration)
        assert retries.tries_again(0, raised(), iteration=iteration, used=False)
    assert not retries.tries_again(0, raised(), iteration=8, used=False)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_given_number_of_retries_applies_to_any_error(most):
    retries = Retries(most)
    answers = [retries.tries_again(0, raised(), iteration=0, used=False) for _ in range(most + 1)]
    assert answers == [True] * most + [False]


def test_an_invalid_result_is_not_retried():
    assert not Retries(3).tries_again(0, "'loss' must be finite, got nan", iteration=4, used=True)


def test_an_error_absent_from_fresh_processes_comes_from_sharing_a_process():
    retries = Retries(None)
    for trial in (0, 1):
        assert retries.tries_again(trial, raised(), iteration=0, used=True)
        found = retries.progressed(trial, 1)
    assert found == "OSError (train.py, line 3)"
    assert retries.progressed(1, 2) is None


def test_an_error_that_went_away_once_says_nothing_about_processes():
    retries = Retries(None)
    assert retries.tries_again(0, raised(), iteration=3, used=True)
    assert retries.progressed(0, 3) is None
    assert retries.progressed(0, 4) is None
