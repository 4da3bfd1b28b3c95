"""The values and the words of a report on a journal."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tuner.journal_rows import put
from tuner.errors import ResultsError
from tuner.journal import Journal
from tuner.report import Report, renderings
from tuner.report.page.gather import page_data

SPACE = {
    "lr": {"float": [1e-4, 1.0], "log": True},
    "momentum": {"float": [0.0, 0.99], "when": {"optimizer": ["sgd"]}},
    "optimizer": {"choice": ["sgd", "adam"]},
    "hidden": {"int": [16, 256], "when": {"optimizer": ["sgd"]}},
    "batch_size": 64,
}
ADAM = {"lr": 0.01, "optimizer": "adam", "batch_size": 64}
SGD = {"lr": 0.123456789, "momentum": 0.5, "optimizer": "sgd", "hidden": 32, "batch_size": 64}
ERROR = 'Traceback (most recent call last):\n  File "x.py", line 3, in step\nValueError: loss is nan\n'


class Writer:
    """A sweep that writes its journal, one event per second."""

    ticks: Iterator[int]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder)

    def sweep(self, *, mode: str = "max", space: dict[str, Any] = SPACE, iterations: int | None = 9) -> None:
        objective = {"metric": "accuracy", "mode": mode}
        sweep = {
            "name": "digits",
            "trainable": "mlp",
            "space": space,
            "objective": objective,
            "budget": {"iterations": iterations},
        }
        put(self.journal, "sweep", sweep=sweep, version="0.1.0")

    def start(self, trial: int, config: dict[str, Any] = ADAM, seed: int = 1) -> None:
        put(self.journal, "suggested", trial, config=config, seed=seed)
        put(self.journal, "started", trial, node="127.0.0.1")

    def results(self, trial: int, *values: float, first: int = 1) -> None:
        for iteration, value in enumerate(values, start=first):
            put(
                self.journal,
                "result",
                trial,
                iteration=iteration,
                value=value,
                seconds=iteration * 0.5,
                metrics={},
            )

    def end(self, trial: int, state: str = "completed", error: str | None = None) -> None:
        put(self.journal, "ended", trial, state=state, error=error)

    def run(self, trial: int, *values: float, state: str = "completed", error: str | None = None) -> None:
        self.start(trial)
        self.results(trial, *values)
        self.end(trial, state, error)

    def finish(self, reason: str = "trials") -> Report:
        put(self.journal, "finished", reason=reason)
        return self.read()

    def read(self) -> Report:
        return Report.read(self.folder)


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    ticks = iter(range(1_000_000, 2_000_000))
    Writer.ticks = ticks
    monkeypatch.setattr(
        "tuner.journal._file.time", SimpleNamespace(time=lambda: float(next(ticks)), monotonic=monotonic)
    )
    fresh = Writer(tmp_path)
    yield fresh
    fresh.journal.close()


@pytest.fixture
def mixed(writer: Writer) -> Report:
    """Return a finished sweep with one trial for each kind of ending and one that is still paused."""
    writer.sweep()
    writer.start(0, SGD, seed=11)
    writer.results(0, 0.5, 0.9, 0.8)
    for name in ("2", "3"):
        path = f"checkpoints/00000/{name}"
        put(writer.journal, "checkpoint", 0, path=path, iteration=int(name), best=path)
    (writer.folder / "checkpoints" / "00000" / "3").mkdir(parents=True)
    writer.end(0)
    writer.start(1)
    writer.results(1, 0.4)
    put(writer.journal, "decision", 1, action="stop", resource=1, value=0.4, cutoff=0.45, rank=2, of=3)
    writer.end(1, "stopped")
    writer.run(2, 0.99, state="failed", error=ERROR)
    writer.start(3)
    writer.results(3, 0.3)
    put(
        writer.journal,
        "decision",
        3,
        action="pause",
        resource=1,
        value=0.3,
        cutoff=0.45,
        rank=3,
        of=4,
        rung=1,
    )
    return writer.finish()


def page(report: Report) -> str:
    return renderings.html(report)


# Reading


def test_a_trial_reflects_its_events(mixed: Report) -> None:
    trial = mixed.trials[0]
    assert (trial.id, trial.number, trial.config, trial.seed) == ("00000", 0, SGD, 11)
    assert (trial.state, trial.value, trial.iterations, trial.seconds) == ("completed", 0.9, 3, 1.5)
    assert trial.checkpoint == str(mixed.folder / "checkpoints" / "00000" / "3")
    assert trial.curve == [(1, 0.5), (2, 0.9), (3, 0.8)]
    assert trial.error is None


def test_counts_list_all_six_states_in_order(mixed: Report) -> None:
    assert list(mixed.counts().items()) == [
        ("completed", 1),
        ("stopped", 1),
        ("failed", 1),
        ("running", 0),
        ("paused", 1),
        ("pending", 0),
    ]


def test_a_failed_trial_is_never_best(mixed: Report) -> None:
    best = mixed.best()
    assert best is not None
    assert best.id == "00000"
    assert mixed.trials[2].value == 0.99


def test_wall_time_spans_the_first_to_the_last_event(mixed: Report) -> None:
    assert mixed.seconds == 22.0


def test_only_trials_stopped_by_a_scheduler_would_have_continued(mixed: Report) -> None:
    assert mixed.iterations == 6
    assert mixed.iterations_without_stopping == 3 + 9 + 1 + 1


def test_without_a_maximum_no_full_trainings_are_counted(writer: Writer) -> None:
    writer.sweep(iterations=None)
    writer.run(0, 0.5)
    assert writer.finish().iterations_without_stopping is None


def test_a_suggested_trial_that_never_started_is_pending_and_costs_nothing(writer: Writer) -> None:
    writer.sweep()
    put(writer.journal, "suggested", 0, config=ADAM, seed=1)
    report = writer.finish("interrupted")
    assert report.trials[0].state == "pending"
    assert report.iterations_without_stopping == 0


def test_a_paused_trial_is_paused_until_it_is_resumed_and_pending_until_it_runs(writer: Writer) -> None:
    writer.sweep()
    writer.start(0)
    writer.results(0, 0.3)
    put(writer.journal, "decision", 0, action="pause", resource=1)
    assert writer.read().trials[0].state == "paused"
    put(writer.journal, "decision", 0, action="resume", resource=1)
    assert writer.read().trials[0].state == "pending"
    put(writer.journal, "started", 0, node="127.0.0.1")
    assert writer.read().trials[0].state == "running"


def test_a_repeated_iteration_counts_once_with_its_last_value(writer: Writer) -> None:
    writer.sweep()
    writer.start(0)
    writer.results(0, 0.1, 0.9, 0.3)
    put(writer.journal, "lost", 0, error="node died")
    assert writer.read().trials[0].state == "pending"
    put(writer.journal, "started", 0, node="127.0.0.2")
    writer.results(0, 0.25, 0.35, first=2)
    report = writer.read()
    assert report.trials[0].curve == [(1, 0.1), (2, 0.25), (3, 0.35)]
    assert (report.trials[0].value, report.iterations) == (0.35, 3)
    assert [value for _, _, value in report.incumbents()] == [0.1, 0.25, 0.35]


@pytest.mark.parametrize(("mode", "value"), [("max", 0.9), ("min", 0.1)], ids=["maximise", "minimise"])
def test_best_follows_the_mode(writer: Writer, mode: str, value: float) -> None:
    writer.sweep(mode=mode)
    writer.run(0, 0.4, 0.9)
    writer.run(1, 0.1, 0.6)
    best = writer.finish().best()
    assert best is not None
    assert best.value == value


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_earlier_of_two_equal_trials_is_best(writer: Writer, mode: str) -> None:
    writer.sweep(mode=mode)
    for trial in (1, 0, 2):
        writer.run(trial, 0.5)
    best = writer.finish().best()
    assert best is not None
    assert best.id == "00000"


def test_incumbents_list_each_improvement_of_the_best_value(writer: Writer) -> None:
    writer.sweep(mode="min")
    writer.start(0)
    writer.start(1)
    writer.results(0, 0.5)
    writer.results(1, 0.5)
    writer.results(1, 0.2, first=2)
    writer.results(0, 0.3, first=2)
    assert writer.read().incumbents() == [(5.0, "00000", 0.5), (7.0, "00001", 0.2)]


def test_incumbents_exclude_failed_trials(mixed: Report) -> None:
    assert mixed.incumbents() == [(3.0, "00000", 0.5), (4.0, "00000", 0.9)]


def test_decisions_keep_their_order_and_all_keys(mixed: Report) -> None:
    first, second = mixed.decisions()
    assert (first["trial"], first["action"]) == ("00001", "stop")
    assert [second] == [
        {
            "trial": "00003",
            "time": 1_000_021.0,
            "action": "pause",
            "resource": 1,
            "value": 0.3,
            "cutoff": 0.45,
            "rank": 3,
            "of": 4,
            "rung": 1,
        }
    ]


def test_a_running_sweep_can_be_read(writer: Writer) -> None:
    writer.sweep()
    writer.start(0)
    assert writer.read().counts()["running"] == 1
    writer.results(0, 0.7)
    report = writer.read()
    assert report.reason is None
    assert report.trials[0].value == 0.7


def test_a_sweep_that_continued_after_its_end_has_not_ended(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.5)
    assert writer.finish("interrupted").reason == "interrupted"
    writer.start(1)
    assert writer.read().reason is None


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ResultsError, match=re.escape(f"{tmp_path}: holds no sweep; must be a results folder")
    ):
        Report.read(str(tmp_path))


def test_a_journal_without_a_sweep_is_refused(writer: Writer) -> None:
    with pytest.raises(ResultsError, match="holds no sweep; its run ended before the sweep began"):
        writer.read()


def test_reading_a_report_imports_no_heavy_library(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.5)
    writer.finish()
    # ``tuner/__init__.py`` may import more; this checks what the report module alone imports.
    code = (
        "import sys, types, pathlib, importlib.util\n"
        "package = types.ModuleType('tuner')\n"
        "package.__path__ = list(importlib.util.find_spec('tuner').submodule_search_locations)\n"
        "sys.modules['tuner'] = package\n"
        "from tuner.report import Report, renderings\n"
        f"report = Report.read({str(writer.folder)!r})\n"
        "[render(report) for render in (renderings.html, renderings.json, renderings.csv)]\n"
        "print(sorted({'ray', 'torch', 'pandas', 'numpy', 'rich', 'ruamel'} & sys.modules.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


# Data


def test_json_matches_the_documented_dictionary(mixed: Report) -> None:
    data = json.loads(renderings.json(mixed))
    assert data == mixed.to_dict()
    assert data["trials"][0] == {
        "id": "00000",
        "config": SGD,
        "state": "completed",
        "value": 0.9,
        "iterations": 3,
        "seconds": 1.5,
        "seed": 11,
        "error": None,
        "metrics": {},
        "best_iteration": 2,
    }
    checkpoint = str(mixed.folder / "checkpoints" / "00000" / "3")
    assert data["best"] == {**data["trials"][0], "checkpoint": checkpoint}
    assert data["trials"][2]["error"] == ERROR
    assert data["counts"] == {
        "completed": 1,
        "stopped": 1,
        "failed": 1,
        "running": 0,
        "paused": 1,
        "pending": 0,
    }
    assert (data["reason"], data["seconds"], data["results"]) == ("trials", 22.0, str(mixed.folder))
    assert (data["iterations"], data["iterations_without_stopping"]) == (6, 14)


def test_csv_has_a_row_per_trial_and_the_columns_of_the_space(mixed: Report) -> None:
    rows = list(csv.DictReader(StringIO(renderings.csv(mixed))))
    assert list(rows[0])[7:] == [
        "config.lr",
        "config.momentum",
        "config.optimizer",
        "config.hidden",
        "config.batch_size",
    ]
    assert [row["id"] for row in rows] == ["00000", "00001", "00002", "00003"]
    assert rows[0]["config.lr"] == "0.123456789"
    assert rows[1]["config.momentum"] == ""
    assert rows[2]["error"] == "ValueError: loss is nan"


def test_the_data_frame_keeps_integers_despite_gaps_from_conditions(mixed: Report) -> None:
    frame = mixed.table()
    assert list(frame["id"]) == ["00000", "00001", "00002", "00003"]
    assert frame["config.hidden"].dtype == "Int64"
    assert frame["config.hidden"].isna().tolist() == [False, True, True, True]
    assert frame["config.batch_size"].tolist() == [64] * 4
    assert frame["value"].tolist() == [0.9, 0.4, 0.99, 0.3]


# For a terminal


def test_the_table_shows_the_best_first_and_the_number_of_trials(mixed: Report) -> None:
    lines = renderings.table(mixed, limit=2).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["00000", "00001"]
    assert "0.1235" in lines[2]
    assert lines[-2] == "the best 2 of 4 trials: 1 completed, 1 stopped, 1 failed, 1 paused"


def test_the_table_lists_failed_trials_last_whatever_their_value(mixed: Report) -> None:
    lines = renderings.table(mixed).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["00000", "00001", "00003", "00002"]


def test_a_table_with_too_many_columns_puts_the_configuration_into_one(mixed: Report) -> None:
    text = renderings.table(mixed, width=80)
    assert "configuration" in text
    assert "lr=0.1235" in text
    assert max(map(len, text.splitlines())) <= 80


def test_colour_appears_only_on_request(mixed: Report) -> None:
    assert "\x1b[" not in renderings.table(mixed)
    assert "\x1b[" in renderings.table(mixed, color=True)


def test_errors_show_the_configuration_and_the_whole_traceback(mixed: Report) -> None:
    assert renderings.errors(mixed) == (
        "trial 00002 failed after 1 iteration\n"
        "  lr          0.01\n"
        "  optimizer   adam\n"
        "  batch_size  64\n"
        f"{ERROR}"
    )


def test_decisions_show_which_trial_was_paused_and_why(mixed: Report) -> None:
    header, _, _, row = renderings.decisions(mixed).splitlines()
    assert header.split() == ["seconds", "trial", "action", "iterations", "value", "cut-off", "rank", "rung"]
    assert row.split() == ["21.0", "00003", "pause", "1", "0.3", "0.45", "3", "of", "4", "1"]


def test_a_sweep_without_stops_says_so(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.5)
    report = writer.finish()
    assert renderings.decisions(report) == "no trial was paused, resumed or stopped\n"
    assert renderings.errors(report) == "no trial failed\n"


def test_the_summary_shows_outcome_counts_and_next_steps(mixed: Report) -> None:
    assert renderings.summary(mixed) == (
        "best accuracy: 0.9 (max), trial 00000, iteration 2 of 3\n"
        "  lr          0.123456789\n"
        "  momentum    0.5\n"
        "  optimizer   sgd\n"
        "  hidden      32\n"
        "  batch_size  64\n"
        f"checkpoint  {mixed.folder}/checkpoints/00000/3\n"
        "\n"
        "trials      4: 1 completed, 1 stopped, 1 failed, 1 paused\n"
        "errors      ValueError: loss is nan at x.py:3\n"
        "failed      trial 00002 reached accuracy 0.99 in iteration 1 before its error\n"
        "unfinished  1 paused when the sweep ended\n"
        "iterations  6, against 14 without early stopping (43%)\n"
        "wall time   22.0 s\n"
        "ended       every trial was run; 1 of 4 failed\n"
        f"results     {mixed.folder}\n"
        f"tracebacks  tuner report {mixed.folder} --errors\n"
    )


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("seconds", "budget.seconds is used up"),
        ("failures", "more trials failed than budget.failures allows"),
        ("interrupted", "it was interrupted"),
    ],
)
def test_the_summary_says_why_the_sweep_ended(writer: Writer, reason: str, text: str) -> None:
    writer.sweep()
    writer.run(0, 0.5)
    assert f"ended       {text}\n" in renderings.summary(writer.finish(reason))


def test_reports_count_the_workers_replaced_because_of_memory(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.5)
    for after in (1_700_000_000, 800_000_000):
        about = {"node": "127.0.0.1", "memory": "machine", "before": 300_000_000, "share": 4_000_000_000}
        put(writer.journal, "leaked", after=after, **about)
    report = writer.finish()
    told = "2 workers replaced because trials left up to 1.4 GB in memory"
    assert f"memory      {told}\n" in renderings.summary(report)
    assert told in page(report)
    assert [leak["after"] for leak in report.to_dict()["leaks"]] == [1_700_000_000, 800_000_000]


def test_the_summary_of_a_running_sweep_says_so_far(writer: Writer) -> None:
    writer.sweep()
    writer.start(0)
    writer.results(0, 0.7)
    text = renderings.summary(writer.read())
    assert text.startswith(
        "No trial has finished.\nbest accuracy so far: 0.7 (max), trial 00000, iteration 1 of 1\n"
    )
    assert "ended       not yet: it is running\n" in text


def test_if_all_trials_failed_the_summary_names_the_most_common_error(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, state="failed", error="Traceback:\nKeyError: 'x'")
    writer.run(1, 0.9, state="failed", error=ERROR)
    writer.run(2, state="failed", error=ERROR)
    report = writer.finish("failures")
    assert report.best() is None
    assert report.to_dict()["best"] is None
    text = renderings.summary(report)
    assert text.startswith("No trial finished.\n\ntrials      3: 3 failed\n")
    assert "errors      ValueError: loss is nan at x.py:3 (2 of 3 failed trials)\n" in text
    assert "No trial has a value of accuracy." in page(report)


def test_a_failed_trial_that_led_is_named(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.7)
    writer.run(1, 0.8, 0.9, state="failed", error=ERROR)
    text = renderings.summary(writer.finish())
    assert text.startswith("best accuracy: 0.7 (max), trial 00000")
    assert "failed      trial 00001 reached accuracy 0.9 in iteration 2 before its error\n" in text


def test_a_sweep_that_no_process_runs_is_not_running(writer: Writer) -> None:
    writer.sweep()
    writer.start(0)
    writer.results(0, 0.7)
    assert "running" in renderings.table(writer.read())
    writer.journal.close()
    report = writer.read()
    command = f"tuner resume {report.folder}"
    assert f"the sweep was killed: no process runs it; continue with: {command}" in renderings.table(report)
    assert re.search(r"^00000 +interrupted", renderings.table(report), re.MULTILINE)
    text = renderings.summary(report)
    assert "ended       it was killed: no process runs it\n" in text
    assert text.endswith(f"continue    {command}\n")
    assert "killed or interrupted: this page shows" in page(report)
    assert f"tuner resume {report.folder.name}" in page(report)


def test_an_object_of_a_script_is_resumed_in_python(writer: Writer) -> None:
    sweep = {"name": "s", "space": {}, "objective": {"metric": "a", "mode": "max"}}
    put(writer.journal, "sweep", sweep={**sweep, "trainable": {"kind": "__main__:train"}}, importable=False)
    report = writer.finish("interrupted")
    code = f"in Python, tuner.resume('{report.folder}', trainable=train)"
    assert renderings.summary(report).endswith(f"continue    {code}\n")
    assert f"in Python, tuner.resume(&#x27;{report.folder.name}&#x27;, trainable=train)" in page(report)


@pytest.mark.parametrize(
    ("kind", "verbs", "expected"),
    [
        ("mlp", None, ["evaluate", "export"]),
        ("command", None, []),
        ("train.py:train", None, []),
        ("train.py:Net", ["export"], ["export"]),
        ("mlp", [], []),
    ],
)
def test_the_page_offers_only_what_the_trainable_supports(
    writer: Writer, kind: str, verbs: list[str] | None, expected: list[str]
) -> None:
    sweep = {"name": "s", "space": {}, "objective": {"metric": "a", "mode": "max"}}
    put(writer.journal, "sweep", sweep={**sweep, "trainable": {"kind": kind}}, verbs=verbs)
    for trial in (0, 1):
        writer.start(trial)
        writer.results(trial, 0.7)
        (writer.folder / "checkpoints" / f"{trial:05d}" / "1").mkdir(parents=True)
        path = f"checkpoints/{trial:05d}/1"
        put(writer.journal, "checkpoint", trial, path=path, iteration=1, best=path)
        writer.end(trial)
    drawn = page(writer.finish())
    assert [verb for verb in ("evaluate", "export") if f"tuner {verb}" in drawn] == expected


def failing(writer: Writer, *causes: str, file: str = "/home/me/train.py") -> Report:
    """Return a finished sweep whose trials failed, in code of the user that calls a library."""
    writer.sweep(space={"learning_rate": {"float": [0, 1]}, "hidden": 3})
    library = '  File "/usr/lib/python3.11/json/x.py", line 1, in f'
    for number, cause in enumerate(causes):
        error = f'Traceback:\n  File "{file}", line 8, in train\n{library}\n{cause}\n'
        writer.start(number, {"learning_rate": 0.1, "hidden": 3})
        writer.end(number, "failed", error)
    return writer.finish()


def test_an_error_has_its_place_a_hint_and_the_command_for_tracebacks(writer: Writer) -> None:
    report = failing(writer, "KeyError: 'lr'", "KeyError: 'lr'")
    cause = "KeyError: 'lr' at train.py:8; the space has no 'lr'; did you mean 'learning_rate'?"
    command = f"tuner report {report.folder} --errors"
    summary, table = renderings.summary(report), renderings.table(report)
    assert f"errors      {cause}\n" in summary
    assert f"tracebacks  {command}\n" in summary
    assert table.endswith(f"\nerrors: {cause} (--errors shows tracebacks)\n")


def test_errors_that_differ_in_numbers_are_one_kind(writer: Writer) -> None:
    causes = ["ValueError: loss 0.25 at step 3", "RuntimeError: x", "ValueError: loss 1e-05 at step 11"]
    report = failing(writer, *causes)
    assert "errors      ValueError: loss 0.25 at step 3 at train.py:8 (2 of 3 failed trials)\n" in (
        renderings.summary(report)
    )
    assert [(error.count, error.trial) for error in page_data(report).errors] == [(2, 0), (1, 1)]


def test_a_report_and_a_trial_are_one_line_in_a_session(mixed: Report) -> None:
    assert repr(mixed) == f"<Report of {mixed.folder}: 4 trials, best accuracy 0.9 (trial 00000)>"
    settings = "lr=0.01 optimizer=adam batch_size=64"
    assert repr(mixed.trials[1]) == f"<Trial 00001: stopped, value 0.4, 1 iterations, {settings}>"


def test_an_empty_sweep_has_every_rendering(writer: Writer) -> None:
    writer.sweep()
    report = writer.finish("interrupted")
    assert json.loads(renderings.json(report))["trials"] == []
    assert renderings.csv(report).splitlines() == [",".join(report.columns())]
    unfinished = f"the sweep was interrupted; continue with: tuner resume {report.folder}\n"
    assert renderings.table(report) == f"no trials yet\n{unfinished}"
    assert renderings.summary(report).startswith("No trial finished.\n\ntrials      none\n")
    assert "No trial has reported a result." in page(report)
    assert list(report.table().columns) == report.columns()
    assert report.table().empty


def test_terminal_escapes_in_a_traceback_are_removed(writer: Writer) -> None:
    writer.sweep()
    writer.run(
        0, state="failed", error="\x1b[36mray::Trainable\x1b[39m\x1b]0;title\x07\nOSError: \x1b[2J\ud800"
    )
    report = writer.finish()
    assert renderings.errors(report).endswith("ray::Trainable\nOSError: ?\n")
    assert "(1 of" not in renderings.summary(report)
    page(report).encode("utf-8")


def test_markup_in_user_text_is_shown_verbatim(writer: Writer) -> None:
    writer.sweep(space={"optimizer": {"choice": ["[red]sgd[/red]", "adam"]}})
    put(writer.journal, "suggested", 0, config={"optimizer": "[red]sgd[/red]"}, seed=1)
    assert "[red]sgd[/red]" in renderings.table(writer.read())


# Metrics other than the objective


@pytest.fixture
def measured(writer: Writer) -> Report:
    """Return trials with metrics; some metrics appear late or are missing at the best iteration."""
    writer.sweep(mode="min", space={"lr": {"float": [0.0, 1.0]}})
    for trial, shift in ((0, 0.0), (1, 0.1)):
        writer.start(trial, {"lr": 0.1 + shift})
        results: list[tuple[float, dict[str, Any]]] = [
            (0.5, {"accuracy": 0.5, "f1": 0.1, "early": 1}),
            (0.3, {"accuracy": 0.3, "f1": 0.3}),
            (0.4, {"accuracy": 0.4, "f1": 0.4, "late": "x"}),
        ]
        for iteration, (value, metrics) in enumerate(results, start=1):
            put(
                writer.journal,
                "result",
                trial,
                iteration=iteration,
                value=value + shift,
                seconds=1.0,
                metrics={**metrics, "val": {"loss": value}},
            )
        writer.end(trial)
    return writer.finish()


def test_metrics_are_taken_at_the_best_iteration_or_the_nearest_with_a_value(measured: Report) -> None:
    assert measured.trials[0].metrics == {"f1": 0.3, "early": 1, "val/loss": 0.3, "late": "x"}
    assert measured.metrics() == ["f1", "early", "val/loss", "late"]


def test_metrics_are_in_every_rendering(measured: Report) -> None:
    rows = list(csv.DictReader(StringIO(renderings.csv(measured))))
    assert [row["metric.f1"] for row in rows] == ["0.3", "0.3"]
    assert json.loads(renderings.json(measured))["trials"][1]["metrics"]["val/loss"] == 0.3
    assert list(measured.table()["metric.late"]) == ["x", "x"]
    assert "metrics     f1=0.3 early=1 val/loss=0.3 late=x\n" in renderings.summary(measured)
    text = page(measured)
    assert '<th scope="col" class="n">val/loss</th>' in text
    assert "<dt>f1</dt><dd>0.3</dd>" in text


def test_the_table_shows_the_metrics_that_fit_and_names_the_others(measured: Report) -> None:
    wide = renderings.table(measured, width=110)
    assert wide.splitlines()[0].split()[-4:] == ["f1", "early", "val/loss", "late"]
    assert "more metrics" not in wide
    narrow = renderings.table(measured, width=80)
    assert narrow.splitlines()[0].split()[-2:] == ["f1", "early"]
    assert "more metrics: val/loss, late (--metrics NAME,...)\n" in narrow
    assert max(map(len, narrow.splitlines())) <= 80


def test_the_table_shows_the_requested_metrics(measured: Report) -> None:
    chosen = renderings.table(measured, width=80, metrics=["late"])
    assert chosen.splitlines()[0].split()[-1] == "late"
    assert "more metrics" not in chosen


# Schedules


def test_the_schedule_of_the_best_trial_is_shown_with_the_replay_command(writer: Writer) -> None:
    writer.sweep(mode="min", space={"lr": {"float": [0.0, 1.0]}, "depth": 2})
    writer.start(0, {"lr": 0.5, "depth": 2})
    writer.results(0, 0.9, 0.8)
    for iteration, lr in ((2, 0.4), (4, 0.2)):
        put(
            writer.journal,
            "reconfigured",
            0,
            source=0,
            iteration=iteration,
            config={"lr": lr, "depth": 2},
            checkpoint="",
        )
        writer.results(0, 1 / iteration, 0.9 / iteration, first=iteration + 1)
    writer.end(0)
    report = writer.finish()
    schedule = (
        "schedule    the hyperparameters changed during training; these are the last ones\n"
        "  from the start: lr=0.5 depth=2\n"
        "  after iteration 2: lr=0.4\n"
        "  after iteration 4: lr=0.2\n"
        f"  to train it again: tuner report {report.folder} --replay > replay.yaml\n"
    )
    assert schedule in renderings.summary(report)
    assert json.loads(renderings.json(report))["best"]["schedule"] == [
        {"iteration": 0, "config": {"lr": 0.5, "depth": 2}},
        {"iteration": 2, "config": {"lr": 0.4}},
        {"iteration": 4, "config": {"lr": 0.2}},
    ]
    text = page(report)
    assert "<dt>after iteration 4</dt><dd>lr=0.2</dd>" in text
    assert "--replay" in text


# Architectures


def test_a_searched_architecture_has_a_column(writer: Writer) -> None:
    kinds = {"dense": {"width": [16, 32]}}
    writer.sweep(space={"layers": {"architecture": kinds, "layers": [1, 3]}})
    for trial, layers in enumerate(["dense width=16", "dense width=16; dense width=32"]):
        writer.start(trial, {"layers": layers})
        writer.results(trial, 0.5 + trial)
        writer.end(trial)
    report = writer.finish()
    assert "dense width=16; dense width=32" in renderings.table(report)
    assert "<td>dense width=16; dense width=32</td>" in page(report)


# Time and outcome


def test_wall_time_includes_the_start_and_excludes_the_time_before_a_resume(writer: Writer) -> None:
    objective = {"metric": "accuracy", "mode": "max"}
    put(writer.journal, "sweep", sweep={"objective": objective}, version="0", began=999_990.0)
    writer.run(0, 0.5)  # 1000001 to 1000004
    writer.finish("interrupted")
    for _ in range(100):
        next(writer.ticks)
    put(writer.journal, "resumed", version="0", began=1_000_103.0)  # at 1000106
    writer.run(1, 0.6)
    report = writer.finish()
    assert report.seconds == (1_000_005 - 999_990) + (1_000_111 - 1_000_103)
    assert [seconds for seconds, _, _ in report.incumbents()] == [13.0, 15 + 6.0]


@pytest.mark.parametrize(
    ("states", "text", "code"),
    [
        (("completed", "completed"), "every trial was run", 0),
        (("completed", "failed"), "every trial was run; 1 of 2 failed", 0),
        (("stopped", "failed"), "every trial was run, and none completed: 1 stopped, 1 failed", 1),
        (("failed", "failed"), "every trial was run, and none completed: 2 failed", 1),
        (("stopped", "completed"), "every trial was run", 0),
    ],
    ids=["sound", "one failed", "none completed", "all failed", "stopped"],
)
def test_the_text_about_the_end_matches_the_exit_code(
    writer: Writer, states: tuple[str, ...], text: str, code: int
) -> None:
    from tuner.cli.options import exit_code

    writer.sweep()
    for trial, state in enumerate(states):
        writer.run(trial, 0.5, state=state, error="ValueError: no" if state == "failed" else None)
    report = writer.finish()
    assert f"ended       {text}\n" in renderings.summary(report)
    assert text in page(report)
    assert exit_code(report) == code


def test_trials_that_end_alone_or_by_a_budget_do_not_count_as_stopped_early(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.5)  # the trial itself ended
    writer.start(1)
    writer.results(1, 0.4)
    reason = "its time (budget.trial_seconds) is up"
    put(writer.journal, "decision", 1, action="stop", resource=1, value=0.4, reason=reason)
    writer.end(1, "stopped")
    writer.run(2, 0.3, state="stopped")  # the sweep's time budget was used up
    report = writer.finish("seconds")
    assert report.iterations_without_stopping == report.iterations == 3
    assert "without early stopping" not in renderings.summary(report) + page(report)


def test_the_best_value_is_shown_with_its_iteration(writer: Writer) -> None:
    writer.sweep()
    writer.run(0, 0.2, 0.9, 0.5, 0.4)
    report = writer.finish()
    assert "best accuracy: 0.9 (max), trial 00000, iteration 2 of 4\n" in renderings.summary(report)
    assert "trial 00000, iteration 2 of 4" in page(report)
