"""Searchers combined with schedulers, on a real local Ray; some trials report invalid results.

Every searcher and every scheduler takes part, with lanes and without. The simulation covers all pairs
(``tests/tuner/test_simulate.py``), and ``test_parity.py`` shows that a real sweep decides what its simulation
does.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import events, most_at_once, run_toy
from tuner import Report, Resources, Sweep
from tuner.journal import read
from tuner.schedulers import SCHEDULERS
from tuner.searchers import SEARCHERS
from tuner.state import SweepState, replay

TRIALS = 12

# Each scheduler with the next searcher in turn. Every other pair uses lanes; two pairs run with and without.
TWICE = [("random", "fifo"), ("optuna", "asha")]
PAIRS = [
    *TWICE,
    *zip(itertools.cycle(SEARCHERS), SCHEDULERS, strict=False),
]
CASES = list(
    dict.fromkeys(
        (*pair, lanes)
        for number, pair in enumerate(PAIRS)
        for lanes in ((1, 3) if pair in TWICE else ((1, 3)[number % 2],))
    )
)


@pytest.fixture(
    scope="module",
    params=CASES,
    ids=lambda case: f"{case[0]}-{case[1]}-{case[2]} lanes",
)
def report(request, cluster, tmp_path_factory) -> Report:
    searcher, scheduler, lanes = request.param
    return run_toy(
        "Laned",
        tmp_path_factory.mktemp("report"),
        trials=TRIALS,
        searcher=searcher,
        scheduler=scheduler,
        seed=3,
        budget={"concurrent": 3},
        resources=Resources(cpu=4 if lanes > 1 else 1, lanes=lanes),
    )


def test_a_sweep_ends_with_exactly_the_requested_trials(report):
    counts = report.counts()
    assert report.reason == "trials"
    assert len(report.trials) == TRIALS
    assert counts["running"] == counts["pending"] == 0


def test_all_slots_are_in_use(report):
    assert most_at_once(report) == 3


def test_an_invalid_result_fails_its_trial_and_names_the_fault(report):
    rubbish = [trial for trial in report.trials if trial.first_config["x"] > 0.6]
    assert rubbish
    assert {(trial.value, trial.iterations) for trial in rubbish} == {(None, 0)}
    later = [trial for trial in report.trials if any(change.config["x"] > 0.6 for change in trial.changes)]
    rubbish += later
    assert {trial.state for trial in rubbish} == {"failed"}
    assert {trial.error for trial in rubbish} <= {
        "'loss' must be finite, got nan",
        "a result has no 'loss'; must be one of other, together",
        "'loss' must be a number, got the text 'low'",
    }
    assert report.counts()["failed"] == len(rubbish)


def test_a_trial_with_an_invalid_result_is_never_best(report):
    assert report.best().config["x"] <= 0.6


def test_the_best_trial_ran_in_full_and_has_a_checkpoint(report):
    in_full = SCHEDULERS[report.sweep["scheduler"]["kind"]].runs_in_full
    assert report.best().iterations == 9 or not in_full
    assert Path(report.best().checkpoint, "steps.json").is_file()


def test_only_the_best_trial_keeps_its_checkpoints(report):
    kept = [folder.name for folder in (report.folder / "checkpoints").iterdir() if folder.is_dir()]
    assert kept == [report.best().id]


def test_the_sweep_could_be_resumed_after_any_event(report):
    everything: list[Any] = list(read(report.folder))
    for end in range(1, len(everything), 7):
        state = SweepState.begin(Sweep(**report.sweep))
        replay(state, everything[:end])
        suggested = {event.trial for event in everything[:end] if event.kind == "suggested"}
        ended = {event.trial: event.state for event in everything[:end] if event.kind == "ended"}
        assert state.trials.keys() == suggested
        assert {n: trial.state for n, trial in state.trials.items() if trial.has_ended} == ended


def test_every_start_and_every_end_is_in_the_journal(report):
    assert len(events(report, "suggested")) == len(events(report, "ended")) == TRIALS
    assert len(events(report, "finished")) == 1
