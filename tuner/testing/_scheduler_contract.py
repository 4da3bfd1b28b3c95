"""``SchedulerContract``: the tests that every scheduler must pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

from tuner.schedulers import Action, Decision, Fifo, Scheduler, SchedulerSpec
from tuner.testing._randomness import global_randomness, global_states
from tuner.testing._simulation import Run, Scenario, SchedulerCall, simulate
from tuner.testing._spec_contract import SpecContract

_run = lru_cache(maxsize=512)(simulate)


class SchedulerContract(SpecContract):
    """The tests that every scheduler must pass."""

    spec: ClassVar[SchedulerSpec]
    """The settings under test."""

    variants: ClassVar[Sequence[SchedulerSpec]] = ()
    """Further settings that must pass the same tests."""

    examples: ClassVar[int] = 50
    """Simulations per test. A hypothesis profile with ``max_examples=400`` multiplies it by four."""

    def for_all_runs(self, holds: Callable[[Run], None]) -> None:
        """Call ``holds``, which asserts something, with simulations of scenarios, the same in every call."""
        specs = (self.spec, *self.variants)
        try:
            for spec, scenario in _drawn(specs, self.examples):
                holds(_run(spec, scenario))
        except AssertionError:
            # Run it again under hypothesis, which shows the simplest scenario that fails.
            _for_all(specs, self.examples, lambda spec, scenario: holds(_run(spec, scenario)))
            raise

    def test_it_says_whether_it_needs_the_maximum(self) -> None:
        problems = self.spec.problems(None)
        assert bool(problems) is self.spec.needs_maximum
        assert all(" " in problem.what for problem in problems)

    def test_no_trial_waits_for_ever(self) -> None:
        def holds(run: Run) -> None:
            assert run.waiting == []

        self.for_all_runs(holds)

    def test_every_trial_ends_once(self) -> None:
        def holds(run: Run) -> None:
            added = [event.trial for event in run.calls("add")]
            assert sorted(event.trial for event in run.calls("end") if event.trial is not None) == added

        self.for_all_runs(holds)

    def test_a_paused_trial_is_resumed_or_dropped_exactly_once(self) -> None:
        def holds(run: Run) -> None:
            paused: set[int] = set()
            for event in run.events:
                for decision in event.answers:
                    if event.call in ("resume", "drop"):
                        assert decision.trial in paused
                        paused.remove(decision.trial)
                    if decision.action is Action.PAUSE:
                        paused.add(decision.trial)
                if event.call == "end" and event.trial is not None:
                    paused.discard(event.trial)

        self.for_all_runs(holds)

    def test_each_call_is_answered_by_its_own_actions(self) -> None:
        pause = {Action.PAUSE} if self.spec.pauses else set()
        allowed = {
            "report": {Action.CONTINUE, Action.STOP, Action.COMPLETE} | pause,
            "resume": {Action.RESUME} if self.spec.pauses else set(),
            "drop": {Action.STOP} if self.spec.pauses else set(),
        }

        def holds(run: Run) -> None:
            for event in run.events:
                assert all(decision.action in allowed[event.call] for decision in event.answers)

        self.for_all_runs(holds)

    def test_trials_complete_at_the_maximum_and_only_there(self) -> None:
        def holds(run: Run) -> None:
            for event in run.calls("report"):
                done = event.resource >= run.scenario.iterations
                assert (event.answers[0].action is Action.COMPLETE) is done

        self.for_all_runs(holds)

    def test_a_decision_is_about_the_last_report_of_its_trial(self) -> None:
        def holds(run: Run) -> None:
            last: dict[int, tuple[float, float]] = {}
            for event in run.events:
                if event.call == "report" and event.trial is not None:
                    last[event.trial] = (event.resource, event.value)
                    assert [decision.trial for decision in event.answers] == [event.trial]
                for decision in event.answers:
                    assert (decision.resource, decision.value) == last[decision.trial]
                    assert decision.rung is None or decision.rung <= decision.resource
                    if decision.action is not Action.CONTINUE:
                        assert json.loads(json.dumps(decision.to_json())) == decision.to_json()

        self.for_all_runs(holds)

    def test_ranks_and_cutoffs_are_those_of_the_rung(self) -> None:
        """Ranks may be lower by the number of trials that have left the rung's count."""

        def holds(run: Run) -> None:
            better = run.scenario.objective.better
            rungs: dict[tuple[int | None, int | None], dict[int, float]] = {}
            for event in run.events:
                for decision in event.answers:
                    here = rungs.setdefault((decision.bracket, decision.rung), {})
                    if event.call == "report" and decision.rung is not None:
                        here[decision.trial] = event.value
                    if decision.rank is None or decision.of is None:
                        continue
                    value = here[decision.trial]
                    ahead = sum(better(other, than=value) for other in here.values())
                    behind = sum(better(value, than=other) for other in here.values())
                    left_out = len(here) - decision.of
                    assert left_out >= 0
                    assert (
                        max(1, ahead + 1 - left_out) <= decision.rank <= min(decision.of, len(here) - behind)
                    )
                    if decision.cutoff is not None and decision.action in (Action.RESUME, Action.CONTINUE):
                        assert not better(decision.cutoff, than=value)
                    if decision.cutoff is not None and decision.action is Action.STOP:
                        assert not better(value, than=decision.cutoff)

        self.for_all_runs(holds)

    def test_without_failures_some_trial_gets_all_iterations(self) -> None:
        def holds(run: Run) -> None:
            full = max(run.reached.values(), default=0) >= run.scenario.iterations
            assert full or not run.scenario.calm or not run.spec.runs_in_full

        self.for_all_runs(holds)

    def test_no_more_is_done_than_without_early_stopping(self) -> None:
        def holds(run: Run) -> None:
            # Remove a time limit: the work done before it depends on the order in which trials end.
            everything = _reached_in_full(replace(run.scenario, seconds=None))
            assert all(done <= everything[trial] for trial, done in run.reached.items())

        self.for_all_runs(holds)

    def test_reports_before_the_next_decision_may_arrive_late(self) -> None:
        def holds(run: Run) -> None:
            scheduler = _new_scheduler(run)
            for event in run.events:
                if event.call == "report" and event.trial is not None:
                    decides_at = scheduler.decides_at(event.trial)
                    if decides_at is not None and event.resource < decides_at:
                        assert event.answers[0].action is Action.CONTINUE
                _replay(scheduler, event)

        self.for_all_runs(holds)

    def test_minimising_mirrors_maximising(self) -> None:
        def negated(decision: Decision) -> Decision:
            value, cutoff = (None if v is None else -v for v in (decision.value, decision.cutoff))
            return replace(decision, value=value, cutoff=cutoff)

        def holds(run: Run) -> None:
            mirrored = simulate(run.spec, run.scenario.mirrored())
            assert [negated(decision) for decision in mirrored.decisions] == run.decisions

        self.for_all_runs(holds)

    def test_the_same_calls_give_the_same_decisions(self) -> None:
        """Calls of ``resume`` and ``drop`` without an answer are left out, as in the replay of a journal."""

        def holds(run: Run) -> None:
            scheduler = _new_scheduler(run)
            assert [_replay(scheduler, event) for event in run.events] == [
                event.answers for event in run.events
            ]

        self.for_all_runs(holds)

    def test_global_random_states_are_neither_used_nor_changed(self) -> None:
        scenario = Scenario(trials=20, slots=4, iterations=20, levels=3)
        decisions = []
        for seed in (1, 2):
            with global_randomness(seed):
                before = global_states()
                decisions.append(simulate(self.spec, scenario).decisions)
                assert before.items() <= global_states().items()
        assert decisions[0] == decisions[1]


def _for_all(
    specs: Sequence[SchedulerSpec], examples: int, check: Callable[[SchedulerSpec, Scenario], None]
) -> None:
    """Call ``check`` with ``examples`` scenarios, each with one of ``specs``; the same ones in every call."""
    from hypothesis import HealthCheck, assume, given, settings
    from hypothesis import strategies as st

    calm = (0.0, 0.0, 0.0)
    troubles = (
        calm,
        calm,
        (0.3, 0.0, 0.0),
        (0.0, 0.1, 0.0),
        (0.0, 0.6, 0.0),
        (0.0, 0.0, 0.5),
        (0.2, 0.2, 0.2),
    )
    values = ((1.0, None), (1.0, None), (1.0, 3), (0.0, None), (1e300, None))

    @st.composite
    def scenarios(draw: Any) -> Scenario:
        iterations = draw(st.integers(1, 100))
        ends_early, fails, loses_worker = draw(st.sampled_from(troubles))
        scale, levels = draw(st.sampled_from(values))
        return Scenario(
            trials=draw(st.integers(1, min(60, 1000 // iterations))),
            slots=draw(st.integers(1, 12)),
            iterations=iterations,
            mode=draw(st.sampled_from(("min", "max"))),
            seed=draw(st.integers(0, 2**16)),
            scale=scale,
            levels=levels,
            gap=draw(st.sampled_from((1, 1, 5))),
            ends_early=ends_early,
            fails=fails,
            loses_worker=loses_worker,
            keeps_checkpoints=draw(st.booleans()),
            closes_late=draw(st.booleans()),
            seconds=draw(st.sampled_from((None, None, None, None, 5.0, 50.0))),
        )

    # Hypothesis's profile scales the number. Its default is 100.
    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=max(1, examples * settings().max_examples // 100),
        suppress_health_check=list(HealthCheck),
    )
    @given(scenario=scenarios(), spec=st.sampled_from(specs))
    def every_run(scenario: Scenario, spec: SchedulerSpec) -> None:
        assume(not spec.problems(scenario.iterations))
        check(spec, scenario)

    every_run()


@lru_cache(maxsize=32)
def _drawn(specs: tuple[SchedulerSpec, ...], examples: int) -> list[tuple[SchedulerSpec, Scenario]]:
    """Return the settings and scenarios of ``_for_all``, drawn once for all tests."""
    found: list[tuple[SchedulerSpec, Scenario]] = []
    _for_all(specs, examples, lambda spec, scenario: found.append((spec, scenario)))
    return found


@lru_cache(maxsize=4096)
def _reached_in_full(scenario: Scenario) -> dict[int, float]:
    """Return trial -> its iterations without early stopping."""
    return simulate(Fifo(), scenario).reached


def _new_scheduler(run: Run) -> Scheduler:
    scenario = run.scenario
    return run.spec.build(objective=scenario.objective, iterations=scenario.iterations, seed=scenario.seed)


def _replay(scheduler: Scheduler, event: SchedulerCall) -> tuple[Decision, ...]:
    if event.call == "close":
        scheduler.close()
        return ()
    if event.call == "resume":
        decision = scheduler.resume()
        return () if decision is None else (decision,)
    if event.call == "drop":
        return tuple(scheduler.drop())
    assert event.trial is not None
    if event.call == "report":
        return (scheduler.report(event.trial, event.resource, event.value),)
    if event.call == "end":
        scheduler.end(event.trial, event.ending)
    else:
        scheduler.add(event.trial)
    return ()
