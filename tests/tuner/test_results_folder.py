"""A results folder can be moved; files that it has lost are reported as missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tuner.journal_rows import put
from tuner import Report
from tuner.cli import main
from tuner.cluster.origin import beginning, check_sources
from tuner.errors import ResultsError
from tuner.journal import Journal, read
from tuner.journal.events import checkpoint_name
from tuner.report import renderings
from tuner.sweep import Sweep
from tuner.yaml12 import read_yaml


def sweep_in(folder: Path, checkpoint: str, *, value: float = 0.5, kind: str = "a") -> Path:
    """Return a sweep of one trial whose checkpoint the journal stores under this path."""
    folder.mkdir(parents=True)
    journal = Journal(folder)
    objective = {"metric": "loss", "mode": "min"}
    put(journal, "sweep", sweep={"name": "a", "space": {}, "objective": objective}, version="0")
    put(journal, "suggested", 0, config={"lr": 0.2, "kind": kind}, seed=0)
    put(journal, "started", 0, node="here")
    put(journal, "result", 0, iteration=1, value=value, seconds=1.0, metrics={"loss": value})
    put(journal, "checkpoint", 0, path=checkpoint, iteration=1, best=checkpoint)
    put(journal, "ended", 0, state="completed", error=None)
    put(journal, "finished", reason="trials")
    journal.close()
    return folder


def add_checkpoint(folder: Path) -> Path:
    path = folder / "checkpoints" / "00000" / "checkpoint_000000"
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("written", ["relative", "absolute"])
def test_a_moved_sweep_names_its_own_checkpoint_even_if_another_took_its_place(
    written: str, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    name = "checkpoints/00000/checkpoint_000000"
    path = name if written == "relative" else f"{results}/a/{name}"
    add_checkpoint(sweep_in(results / "a", path, value=0.5))
    (results / "a").rename(results / "old")
    add_checkpoint(sweep_in(results / "a", path, value=0.1))
    best = Report.read(results / "old").best()
    assert best is not None
    assert best.checkpoint == str(results / "old" / name)
    assert json.loads(renderings.json(Report.read(results / "old")))["best"]["checkpoint"] == best.checkpoint
    assert f"checkpoint  {best.checkpoint}\n" in renderings.summary(Report.read(results / "old"))


def test_a_lost_checkpoint_is_reported_as_missing(tmp_path: Path) -> None:
    name = "checkpoints/00000/checkpoint_000000"
    folder = sweep_in(tmp_path / "a", f"{tmp_path}/b/{name}")
    elsewhere = tmp_path / "b" / name  # belongs to another sweep
    elsewhere.mkdir(parents=True)
    report = Report.read(folder)
    best = report.best()
    assert best is not None
    assert (best.checkpoint, best.gone) == (None, name)
    text = f"gone: there is no {name} in the results folder"
    assert f"checkpoint  {text}\n" in renderings.summary(report)
    assert text in renderings.html(report)
    data = json.loads(renderings.json(report))["best"]
    assert (data["checkpoint"], data["checkpoint_gone"]) == (None, name)


def test_a_checkpoint_outside_the_folder_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    folder = sweep_in(tmp_path / "a", "checkpoints/../../secret")
    assert Report.read(folder).trials[0].checkpoint is None


def test_the_page_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    folder = sweep_in(tmp_path / "a", "checkpoints/00000/checkpoint_000000")
    add_checkpoint(folder)
    text = renderings.html(Report.read(folder))
    assert "<dd>checkpoints/00000/checkpoint_000000</dd>" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/checkpoints/results/a/checkpoints/00000/c", "checkpoints/00000/c"),
        ("checkpoints/00000/from_00001_checkpoint_000002", "checkpoints/00000/from_00001_checkpoint_000002"),
        ("s3://bucket/a/checkpoints/00000/c", "checkpoints/00000/c"),
        ("s3://bucket/c", "s3://bucket/c"),
    ],
    ids=["below another", "relative", "object storage", "foreign"],
)  # fmt: skip
def test_a_checkpoint_is_named_by_its_path_in_the_folder(path: str, name: str) -> None:
    assert checkpoint_name(path) == name


def sweep(**searcher: str) -> Sweep:
    return Sweep(
        trainable="mlp",
        space={"lr": {"float": [0.1, 0.5]}},
        objective={"metric": "loss", "mode": "min"},
        budget={"trials": 2},
        searcher={"kind": "random", **searcher},
        out="/somewhere/results",
    )


def test_a_stored_sweep_does_not_name_its_folder() -> None:
    entry = beginning(sweep(), "abcd1234")
    assert "/somewhere" not in json.dumps(entry.to_json())
    assert "/somewhere" not in sweep().to_yaml(leave_out=("out",))
    assert Sweep(**entry.sweep).out == "results"


def test_a_warm_start_folder_that_now_holds_another_sweep_is_refused(tmp_path: Path) -> None:
    earlier = sweep_in(tmp_path / "a", "checkpoints/00000/c")
    made = sweep(warm_start=str(earlier))
    sources = beginning(made, "abcd1234").sources
    check_sources(made, sources)
    earlier.rename(tmp_path / "old")
    sweep_in(tmp_path / "a", "checkpoints/00000/c")
    with pytest.raises(ResultsError) as refused:
        check_sources(made, sources)
    assert str(refused.value) == (
        f"searcher.warm_start: {earlier} has changed since the sweep learned from it; "
        "must be the same as when the sweep began"
    )


def test_a_replay_is_written_next_to_the_folder_that_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "moved" / "a"
    folder.mkdir(parents=True)
    journal = Journal(folder)
    journal.write(beginning(sweep(), "abcd1234"))
    put(journal, "suggested", 0, config={"lr": 0.2}, seed=0)
    put(journal, "result", 0, iteration=1, value=0.5, seconds=1.0, metrics={})
    put(journal, "ended", 0, state="completed", error=None)
    journal.close()
    assert next(event.kind for event in read(folder)) == "sweep"
    assert main(["report", str(folder), "--replay"]) == 0
    (tmp_path / "replay.yaml").write_text(capsys.readouterr().out)
    assert read_yaml(tmp_path / "replay.yaml")["out"] == str(folder.parent)
