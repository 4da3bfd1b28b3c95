"""When the display mentions a quiet trial."""

from tuner.cluster.silence import Silence


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_trial_is_mentioned_once_after_two_minutes():
    clock = Clock()
    silence = Silence(clock=clock)
    silence.started(3)
    clock.now = 119
    assert silence.to_mention({3}) == []
    clock.now = 121
    assert silence.to_mention({3}) == [(3, 121)]
    clock.now = 500
    assert silence.to_mention({3}) == []


def test_a_trial_with_slow_results_is_not_mentioned():
    clock = Clock()
    silence = Silence(clock=clock)
    silence.started(0)
    clock.now = 100
    silence.heard(0)
    clock.now = 550
    assert silence.to_mention({0}) == []
    clock.now = 601
    assert silence.to_mention({0}) == [(0, 501)]


def test_idle_trials_are_not_mentioned_and_long_lists_are_cut():
    clock = Clock()
    silence = Silence(clock=clock)
    for trial in range(9):
        silence.started(trial)
    clock.now = 200
    assert [trial for trial, _ in silence.to_mention(set(range(1, 9)))] == [1, 2, 3]
    assert silence.seconds({1, 2}) == 200
    assert silence.seconds(()) == 0
