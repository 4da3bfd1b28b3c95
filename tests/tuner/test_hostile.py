"""Results folders that are damaged or come from a stranger: one line names the fault, and no code runs."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.drawing import scaled
from tests.tuner.journal_rows import put
from tuner import Budget, Float, Objective, Report, Sweep, TunerError, resume
from tuner.cli import main
from tuner.errors import ResultsError, UntrustedError
from tuner.evaluation.evaluate import evaluate
from tuner.export import export
from tuner.journal import FILE_NAME, Journal, read
from tuner.report import EVALUATION_FILE, renderings
from tuner.state import SweepState, replay
from tuner.trust import signature

LOSS = Objective(metric="loss", mode="min")


def sweep(**parts: Any) -> dict[str, Any]:
    """Return the settings of a sweep over a file's function, as a journal stores them."""
    made = Sweep(
        trainable="train.py:train",
        space={"lr": Float(0.01, 0.5)},
        objective=LOSS,
        budget=Budget(trials=3, iterations=2),
    )
    return {**made.to_dict(), **parts}


def suggestions() -> list[dict[str, Any]]:
    """Return the data of the sweep's first two suggestions, as its state makes them."""
    state = SweepState.begin(Sweep(**sweep()))
    return [suggested.to_json() for suggested in (state.suggest(), state.suggest()) if suggested is not None]


FIRST, SECOND = suggestions()

EVENTS: list[tuple[str, int | None, dict[str, Any]]] = [
    ("sweep", None, {"sweep": sweep(), "version": "0.1.0"}),
    ("suggested", 0, FIRST),
    ("started", 0, {"node": "10.0.0.1"}),
    ("result", 0, {"iteration": 1, "value": 0.5, "seconds": 1.0, "metrics": {"acc": 0.7}}),
    ("checkpoint", 0, {"path": "checkpoints/00000/a", "iteration": 1, "best": "checkpoints/00000/a"}),
    ("decision", 0, {"action": "pause", "resource": 1, "value": 0.5, "rank": 1, "of": 1, "reason": "a rung"}),
    ("decision", 0, {"action": "resume", "resource": 1}),
    ("suggested", 1, SECOND),
    ("started", 1, {"node": "10.0.0.1"}),
    (
        "reconfigured",
        1,
        {"source": 0, "iteration": 1, "config": {"lr": 0.3}, "checkpoint": "checkpoints/1/b"},
    ),
    ("lost", 1, {"error": "died"}),
    ("leaked", None, {"node": "n", "memory": "gpu", "before": 1, "after": 2, "share": 3}),
    ("spent", None, {"gpu_seconds": 1.0}),
    ("ended", 0, {"state": "completed", "error": None}),
    ("ended", 1, {"state": "failed", "error": "ValueError: no"}),
]


def write(folder: Path, rows: list[tuple[Any, Any, Any, Any]]) -> Path:
    """Write a journal with these rows, whatever they hold."""
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).unlink(missing_ok=True)
    connection = sqlite3.connect(folder / FILE_NAME)
    connection.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, time, kind, trial, data)")
    connection.executemany("INSERT INTO events (time, kind, trial, data) VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return folder


def rows(
    change: Callable[[int, tuple[Any, Any, Any, Any]], tuple[Any, Any, Any, Any]] | None = None,
) -> list[tuple[Any, Any, Any, Any]]:
    valid = [(1e9 + n, kind, trial, json.dumps(data)) for n, (kind, trial, data) in enumerate(EVENTS)]
    return valid if change is None else [change(n, row) for n, row in enumerate(valid)]


def use_all(folder: Path) -> list[str]:
    """Run everything that reads the journal of a folder, and return the error messages."""
    messages = []
    new = {"space": {"lr": Float(0.01, 0.5)}, "trainable": "mlp", "budget": Budget(trials=3, iterations=2)}

    def plan() -> None:
        from tuner.simulation.curves import RecordedCurves

        made = Sweep(**new, objective=LOSS)
        RecordedCurves.read(folder, space=made.space, objective=made.objective)

    def render() -> None:
        report = Report.read(folder)
        texts = [
            *(render(report) for render in (renderings.html, renderings.json, renderings.csv)),
            *(render(report) for render in (renderings.summary, renderings.errors, renderings.decisions)),
            renderings.table(report),
            renderings.table(report, width=80, metrics=report.metrics()),
        ]
        report.table()
        for text in texts:
            text.encode("utf-8")
            assert "\x1b" not in text
            assert texts[0].count("<script") == 2  # the page's own scripts: its data and the sorting

    def recovered() -> None:
        events = list(read(folder))
        replay(SweepState.begin(Sweep(**Report.read(folder).sweep)), events)

    for act in (
        render,
        plan,
        recovered,
        lambda: Report.read(folder).replay(),
        lambda: Sweep(
            **new, objective=LOSS, searcher={"kind": "random", "warm_start": str(folder)}
        ).beginnings(),
        lambda: (
            Sweep(
                **{**new, "space": {"lr": Float(0.01, 0.5, points=3)}, "budget": Budget(iterations=2)},
                objective=LOSS,
                searcher={"kind": "grid", "warm_start": str(folder)},
            ).trials
        ),
        lambda: resume(folder, progress=None),
        lambda: evaluate(folder, progress=None),
    ):
        try:
            act()
        except TunerError as error:
            messages.append(str(error))
    return messages


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        [-1, 2**63 - 1, 10**30, -(10**400), 1e308, "", "\x1b[2J<script>", "[/red]", "\ud800", "../.."]
    ),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def test_the_undamaged_journal_is_read(tmp_path: Path) -> None:
    report = Report.read(write(tmp_path, rows()))
    assert [trial.state for trial in report.trials] == ["completed", "failed"]


@settings(max_examples=scaled(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_in_a_journal_gives_results_or_one_error(tmp_path: Path, data: Any) -> None:
    position = data.draw(st.integers(0, len(EVENTS) - 1))
    value = data.draw(ANYTHING)

    def paths(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if not isinstance(content, (dict, list)):
            return []
        items = content.items() if isinstance(content, dict) else enumerate(content)
        return [path for key, item in items for path in ((*at, key), *paths(item, (*at, key)))]

    content = json.loads(json.dumps(EVENTS[position][2]))
    path = data.draw(st.sampled_from(paths(content)))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[path[-1]] = value
    elif isinstance(inner, dict):
        del inner[path[-1]]

    def change(n: int, row: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        return (*row[:3], json.dumps(content)) if n == position else row

    for message in use_all(write(tmp_path / "results", rows(change))):
        assert len(message) < 2_000


@settings(max_examples=scaled(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_column_of_any_row_gives_results_or_one_error(tmp_path: Path, data: Any) -> None:
    position = data.draw(st.integers(0, len(EVENTS) - 1))
    column = data.draw(st.integers(0, 3))
    value = data.draw(
        st.one_of(
            st.none(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(),
            st.binary(max_size=8),
            st.sampled_from(["", "x", "{", "[]", "1", '"x"', "NaN", '{"a": NaN}', "[" * 100_000, b"\xff{}"]),
        )
    )

    def change(n: int, row: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        return tuple(value if (n, c) == (position, column) else old for c, old in enumerate(row))

    use_all(write(tmp_path / "results", rows(change)))


@settings(max_examples=scaled(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(EVENTS))), count=st.integers(0, len(EVENTS)))
def test_any_order_of_events_gives_results_or_one_error(tmp_path: Path, order: list[int], count: int) -> None:
    valid = rows()
    use_all(write(tmp_path / "results", [valid[n] for n in order[:count]]))


@pytest.mark.parametrize(
    ("kind", "trial", "data", "message"),
    [
        ("result", 0, {"value": 1}, "event 3 cannot be read: 'result' must have 'iteration'"),
        ("ended", 0, {"state": "<b>"}, "event 3 cannot be read: 'state' of 'ended' must be one of completed, "
         "stopped, failed, got '<b>'"),
        ("started", -1, {}, "event 3 cannot be read: its trial must be a whole number from 0, got -1"),
        ("started", 7, {}, "event 3 cannot be read: trial 7 was never suggested"),
        ("suggested", 0, {"config": {}, "seed": 0}, "event 3 cannot be read: trial 0 was already suggested"),
    ],
    ids=["key", "state", "negative", "unknown", "twice"],
)  # fmt: skip
def test_an_invalid_event_is_named(
    kind: str, trial: int, data: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write(tmp_path, [*rows()[:2], (1e9, kind, trial, json.dumps(data))])
    with pytest.raises(ResultsError) as refused:
        Report.read(tmp_path)
    assert str(refused.value) == f"{tmp_path / FILE_NAME}: {message}"


def test_a_broken_evaluation_is_one_error(tmp_path: Path) -> None:
    write(tmp_path, rows())
    for text in ("{}", "[", '{"candidates": [1]}', "\x00", '{"metric": "m", "candidates": {}}'):
        (tmp_path / EVALUATION_FILE).write_text(text)
        with pytest.raises(ResultsError, match=r"evaluation.json: cannot be read"):
            Report.read(tmp_path)


def test_a_formula_becomes_text_in_csv_and_numbers_stay_numbers(tmp_path: Path) -> None:
    evil = "=HYPERLINK(1)"
    valid = EVENTS[3][2] | {"metrics": {"note": "+1", "@name": -0.25, "tab": "\t=1"}}
    config = {"lr": -0.1, evil: evil, "minus": "-2"}
    write(
        tmp_path,
        [
            *rows()[:1],
            (1e9, "suggested", 0, json.dumps({"config": config, "seed": 1})),
            (1e9, "result", 0, json.dumps(valid)),
            (1e9, "ended", 0, json.dumps({"state": "failed", "error": "@SUM(A1)"})),
        ],
    )
    [row] = csv.DictReader(StringIO(renderings.csv(Report.read(tmp_path))))
    assert row["config.lr"] == "-0.1"
    assert row["metric.@name"] == "-0.25"
    assert row[f"config.{evil}"] == f"'{evil}"
    assert (row["config.minus"], row["metric.note"], row["error"]) == ("'-2", "'+1", "'@SUM(A1)")
    assert row["metric.tab"] == "'\t=1"


# Which code runs


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a results folder that came with a file which must not be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "train.py").write_text("open('ran', 'w').close()\ndef train(config): pass\n")
    (tmp_path / "results" / "checkpoints" / "00000" / "a").mkdir(parents=True)
    return write(tmp_path / "results", [*rows()[:4], *rows()[4:5], rows()[13]])


@pytest.mark.parametrize("verb", [["resume"], ["evaluate"], ["export", "--out", "model"]], ids=lambda v: v[0])
def test_code_named_by_a_stranger_is_not_imported(
    verb: list[str], stranger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb[0], "results", *verb[1:]]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: results: {verb[0]} would import and run train.py:train, but another user or machine "
        "began this sweep; if you trust it, add --trust (in Python trust=True)\n"
    )
    assert not Path("ran").exists()


def test_reading_results_imports_nothing(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        [],
        ["--json"],
        ["--format", "csv"],
        ["--format", "html"],
        ["--decisions"],
        ["--replay"],
    ):
        assert main(["report", "results", *arguments]) == 0
    assert not Path("ran").exists()


def test_the_owner_of_a_sweep_is_not_asked_even_after_moving_it(stranger: Path) -> None:
    journal_rows = rows()
    signed = {"sweep": sweep(), "id": "a1b2", "folder": "/p", "signature": signature(sweep(), "a1b2", "/p")}
    write(stranger, [(1e9, "sweep", None, json.dumps(signed)), *journal_rows[1:5], journal_rows[13]])
    moved = stranger.rename(stranger.with_name("moved"))
    with pytest.raises(TunerError, match=r"cannot export '.*'"):  # the file was imported; it has no `export`
        export(moved, "model")
    assert Path("ran").exists()


def test_a_signature_is_void_after_a_change_of_the_code_folder(stranger: Path) -> None:
    signed = {"sweep": sweep(), "id": "a1b2", "folder": "/p", "signature": signature(sweep(), "a1b2", "/p")}
    signed["folder"] = str(stranger)
    write(stranger, [(1e9, "sweep", None, json.dumps(signed)), *rows()[1:5], rows()[13]])
    with pytest.raises(UntrustedError, match="would import and run"):
        resume(stranger)


def test_a_signature_is_void_after_a_change_of_the_code(stranger: Path) -> None:
    signed = {"sweep": sweep(), "id": "a1b2", "folder": "/p", "signature": signature(sweep(), "a1b2", "/p")}
    signed["sweep"] = sweep(trainable={"kind": "evil.py:train"})
    write(stranger, [(1e9, "sweep", None, json.dumps(signed)), *rows()[1:5], rows()[13]])
    with pytest.raises(UntrustedError, match=r"would import and run evil.py:train"):
        resume(stranger, progress=None)


def test_the_trust_flag_allows_the_import(stranger: Path) -> None:
    with pytest.raises(TunerError, match=r"cannot export '.*'"):
        export(stranger, "model", trust=True)
    assert Path("ran").exists()


@pytest.mark.parametrize(("answer", "runs"), [("y", True), ("yes", True), ("", False), ("n", False)])
def test_a_user_at_a_terminal_is_asked_and_no_is_the_default(
    answer: str,
    runs: bool,
    stranger: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = StringIO(f"{answer}\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["export", "results", "--out", "model"]) == 2
    assert "Trust this folder and run its code? [y/N] " in capsys.readouterr().err
    assert Path("ran").exists() == runs


def test_a_sweep_that_names_no_code_needs_no_trust(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    objective = {"metric": "val_loss", "mode": "min"}
    plain = sweep(trainable={"kind": "mlp", "dataset": "wine"}, objective=objective)
    put(journal, "sweep", sweep=plain, version="0")
    put(journal, "finished", reason="trials")
    journal.close()
    with pytest.raises(ResultsError, match="nothing to evaluate"):
        evaluate(tmp_path, progress=None)
