"""Events become runs, and each point arrives once, whatever fails in between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.present import present
from tests.tuner.journal_rows import put
from tuner import Report, ResultsError
from tuner.journal import FILE_NAME, Journal, read
from tuner.trackers.position import Position, Sent
from tuner.trackers.sender import Checkpoint, Sender
from tuner.trackers.updates import Feed, Point, RunUpdate

RECORDED = Path(__file__).with_name("journals")
NAMES = ["asha", "failing", "pbt", "two"]


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A results folder with a recorded journal."""
    return recorded(request.param, tmp_path)


def recorded(name: str, folder: Path) -> Path:
    shutil.copy(RECORDED / f"{name}.sqlite", folder / FILE_NAME)
    return folder


class Store:
    """What a tracker holds. It fails at the calls that a test chooses, half way through a run's points."""

    confirms = True

    def __init__(self) -> None:
        self.points: list[tuple[int | None, int, int, str, float]] = []  # trial, number, step, name, value
        self.tags: dict[int | None, dict[str, str]] = {}
        self.states: dict[int | None, str] = {}
        self.params: dict[int | None, dict[str, Any]] = {}
        self.checkpoints: list[Checkpoint] = []
        self.calls = 0
        self.fails_at: set[int] = set()

    def connect(self) -> Store:
        return self

    def is_empty(self) -> bool:
        return not self.states

    def send(self, updates: Sequence[RunUpdate], *, verify: bool) -> None:
        self.calls += 1
        fails = self.calls in self.fails_at
        for update in updates:
            self.states[update.trial] = update.state
            self.params[update.trial] = dict(update.params)
            self.tags[update.trial] = dict(update.tags)
            arrived = {point[:2] for point in self.points} if verify else set()
            for position, point in enumerate(update.points):
                if fails and position == len(update.points) // 2:
                    raise ConnectionError("the tracker is down")
                if (update.trial, point.number) not in arrived:
                    self.points += [
                        (update.trial, point.number, point.step, name, value)
                        for name, value in point.metrics.items()
                    ]
        if fails:
            raise ConnectionError("the tracker is down")

    def send_checkpoint(self, best: Checkpoint) -> None:
        self.checkpoints.append(best)

    def close(self) -> None:
        return

    def content(self) -> tuple[Any, ...]:
        """Return everything, so that two stores can be compared."""
        return sorted(self.points, key=str), self.tags, self.states, self.params


def sender(folder: Path, store: Store) -> Sender:
    return Sender(folder, store.connect, Position(folder, "store", "a store"), checkpoint=True)


def send_all(folder: Path, store: Store) -> Store:
    sending = sender(folder, store)
    while sending.step():
        pass
    return store


# Updates


def test_each_trial_has_its_curve_its_configuration_and_its_state(folder: Path) -> None:
    store, report = send_all(folder, Store()), Report.read(folder)
    metric = report.objective.metric
    for trial in report.trials:
        sent = [
            (step, value)
            for run, _, step, name, value in store.points
            if (run, name) == (trial.number, metric)
        ]
        if not trial.changes:  # points before a change of the configuration are not taken back
            assert sent == trial.curve
        assert store.params[trial.number] == trial.first_config
        assert store.states[trial.number] == trial.state
        assert store.tags[trial.number]["state"] == trial.state
    assert store.params[None]["scheduler.kind"] == report.sweep["scheduler"]["kind"]
    assert store.tags[None] == {
        "state": "finished",
        "reason": "every trial was run",
        "trainable": report.sweep["trainable"]["kind"],
    }


def test_the_parent_run_has_the_best_value_so_far(tmp_path: Path) -> None:
    store = send_all(recorded("asha", tmp_path), Store())
    report = Report.read(tmp_path)
    name = f"best/{report.objective.metric}"
    best = [value for run, _, _, found, value in store.points if run is None and found == name]
    assert best == [value for _, _, value in report.incumbents()]


def test_tags_name_the_rung_and_the_reason(tmp_path: Path) -> None:
    store = send_all(recorded("asha", tmp_path), Store())
    report = Report.read(tmp_path)
    stopped = next(trial.number for trial in report.trials if trial.state == "stopped")
    last = [each for each in report.decisions() if each["trial"] == f"{stopped:05d}"][-1]
    tags = store.tags[stopped]
    assert tags["rung"] == str(last["rung"])
    assert f"of {last['of']}, rung {last['rung']}" in tags["reason"]


def test_a_failed_trial_has_the_last_line_of_its_error_as_the_reason(tmp_path: Path) -> None:
    store, report = send_all(recorded("failing", tmp_path), Store()), Report.read(tmp_path)
    failed = next(trial for trial in report.trials if trial.state == "failed")
    assert store.tags[failed.number]["reason"] == failed.cause


def test_hyperparameters_that_change_are_metrics_too(tmp_path: Path) -> None:
    store, report = send_all(recorded("pbt", tmp_path), Store()), Report.read(tmp_path)
    trial = next(trial for trial in report.trials if trial.changes)
    change = trial.changes[0]
    names = [name for name, value in change.config.items() if trial.first_config[name] != value]
    assert names
    for name in names:
        sent = [
            (step, value)
            for run, _, step, found, value in store.points
            if run == trial.number and found == f"config/{name}"
        ]
        assert sent[:2] == [(0, trial.first_config[name]), (change.iteration, change.config[name])]


def test_a_restarted_trial_does_not_send_its_iterations_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep={"objective": {"metric": "loss", "mode": "min"}, "name": "a"})
    put(journal, "suggested", 0, config={"x": 1.0}, seed=0)
    for iteration in (1, 2, 1, 2, 3):
        if iteration == 1:
            put(journal, "started", 0, node="here")
        put(journal, "result", 0, iteration=iteration, value=1.0, seconds=1.0, metrics={"loss": 1.0})
        if iteration == 2:
            put(journal, "lost", 0, error="the worker died")
    journal.close()
    store = send_all(tmp_path, Store())
    assert [step for run, _, step, name, _ in store.points if (run, name) == (0, "loss")] == [1, 2, 3]


def test_text_and_missing_values_are_no_metrics() -> None:
    from tuner.trackers.updates import numbers

    assert numbers({"a": 1, "b": True, "c": "text", "d": None, "e": 0.5}) == {"a": 1, "b": 1, "e": 0.5}


def test_batches_of_any_size_give_the_same_points(folder: Path) -> None:
    events = list(read(folder))
    whole = Feed()
    whole.add(events)
    expected = {update.trial: update.points for update in whole.take()}
    for size in (1, 7, 40):
        feed = Feed()
        found: dict[int | None, tuple[Point, ...]] = {}
        for start in range(0, len(events), size):
            feed.add(events[start : start + size])
            for update in feed.take():
                found[update.trial] = (*found.get(update.trial, ()), *update.points)
        assert found == expected


# Sending


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.trackers.sender._MAX_BATCH", 10)


@pytest.mark.usefixtures("small_batches")
def test_each_point_arrives_once_after_an_outage_at_any_time(folder: Path) -> None:
    expected = send_all(folder, Store()).content()
    batches = len(list(read(folder))) // 10
    for failing in range(1, batches + 1):
        Position(folder, "store", "a store").path.unlink()
        store = Store()
        store.fails_at = {failing, failing + 1}
        sending = sender(folder, store)
        failures = 0
        while True:
            try:
                if not sending.step():
                    break
            except ConnectionError:
                failures += 1
                sending.abandon()
        assert failures == 2
        assert store.content() == expected


@pytest.mark.usefixtures("small_batches")
def test_each_point_arrives_once_when_the_process_is_killed_at_any_time(folder: Path) -> None:
    expected = send_all(folder, Store()).content()
    batches = len(list(read(folder))) // 10
    for killed in range(1, batches + 1):
        Position(folder, "store", "a store").path.unlink()
        store = Store()
        store.fails_at = {killed}
        with pytest.raises(ConnectionError):
            send_all(folder, store)  # as a kill, it leaves the position as it was before the batch
        calls = store.calls
        send_all(folder, store)
        assert store.content() == expected
        assert store.calls - calls == batches + 2 - killed  # earlier batches are not sent again


@pytest.mark.usefixtures("small_batches")
def test_a_lost_position_leads_to_no_duplicates(folder: Path) -> None:
    store = send_all(folder, Store())
    expected = store.content()
    Position(folder, "store", "a store").path.write_text("{")
    assert send_all(folder, store).content() == expected


def test_a_store_that_was_emptied_is_filled_again(folder: Path) -> None:
    expected = send_all(folder, Store()).content()
    assert send_all(folder, Store()).content() == expected


@pytest.mark.usefixtures("small_batches")
def test_events_that_a_crash_took_back_are_no_reason_to_skip_new_ones(tmp_path: Path) -> None:
    store = send_all(recorded("two", tmp_path), Store())
    expected = store.content()
    position = Position(tmp_path, "store", "a store")
    sent = position.read()
    for wrong in (sent._replace(sent=sent.sent + 5, begun=sent.sent + 5), sent._replace(time=1.0)):
        position.write(wrong)
        assert send_all(tmp_path, store).content() == expected


def test_new_events_are_sent_while_the_sweep_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep={"objective": {"metric": "loss", "mode": "min"}, "name": "a"})
    store = Store()
    sending = sender(tmp_path, store)
    assert [sending.step(), sending.step()] == [True, False]
    put(journal, "suggested", 0, config={"x": 1.0}, seed=0)
    put(journal, "result", 0, iteration=1, value=0.5, seconds=1.0, metrics={"loss": 0.5})
    assert [sending.step(), sending.step()] == [True, False]
    assert [value for run, _, _, name, value in store.points if (run, name) == (0, "loss")] == [0.5]
    assert store.states[None] == "running"
    journal.close()


def test_the_checkpoint_of_the_best_trial_is_sent_at_the_end(tmp_path: Path) -> None:
    recorded("asha", tmp_path)
    kept = present(present(Report.read(tmp_path).best()).gone)
    (tmp_path / kept).mkdir(parents=True)
    (tmp_path / kept / "weights").write_text("1")
    store = send_all(tmp_path, Store())
    assert [checkpoint.path for checkpoint in store.checkpoints] == [tmp_path / kept]


def test_a_checkpoint_with_a_link_is_not_sent(tmp_path: Path) -> None:
    recorded("asha", tmp_path)
    kept = tmp_path / present(present(Report.read(tmp_path).best()).gone)
    kept.mkdir(parents=True)
    (kept / "weights").symlink_to("/etc/hostname")
    store = Store()
    sending = sender(tmp_path, store)
    while sending.step():
        pass
    assert store.checkpoints == []
    [note] = sending.take_notes()
    assert "is not sent, because weights is a link" in note


def test_one_process_at_a_time_sends_to_a_destination(tmp_path: Path) -> None:
    first, second = (Position(tmp_path, "store", "a store") for _ in range(2))
    with first.locked(wait=False):
        with (
            pytest.raises(ResultsError, match="another process already sends this sweep to a store"),
            second.locked(wait=False),
        ):
            pass
        with Position(tmp_path, "store", "another store").locked(wait=False):
            pass
    with second.locked(wait=False):
        pass


def test_each_destination_has_its_own_position(tmp_path: Path) -> None:
    first, second = (Position(tmp_path, "store", name) for name in ("a store", "another store"))
    first.write(Sent(5, 5, 1.0))
    assert first.read() == Sent(5, 5, 1.0)
    assert second.read() == Sent(begun=None)
    assert json.loads(first.path.read_text())["destination"] == "a store"


def test_a_run_of_an_objective_is_sent_once_its_hyperparameters_are_known(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep={"objective": {"metric": "loss", "mode": "min"}, "space": {}}, version="0")
    put(journal, "suggested", 0, config={}, seed=1)
    put(journal, "started", 0, node="")
    put(journal, "asked", 0, name="lr", dimension={"float": [0, 1]}, value=0.5)
    feed = Feed()
    feed.add(read(tmp_path))
    assert [update.trial for update in feed.take()] == [None]
    put(journal, "result", 0, iteration=1, value=0.25, metrics={"loss": 0.25}, seconds=1.0)
    feed.add([event for event in read(tmp_path) if event.kind == "result"])
    assert [dict(update.params) for update in feed.take() if update.trial == 0] == [{"lr": 0.5}]
