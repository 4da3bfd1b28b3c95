"""`tuner export` finds the best trial's checkpoint and passes it to the trainable."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.tune import Trainable

from tests.tuner.journal_rows import put
from tuner import ResultsError
from tuner.export import export
from tuner.journal import Journal


class Exporting(Trainable):
    """A trainable whose export copies the checkpoint."""

    @classmethod
    def export(cls, checkpoint_dir: str, out_dir: str) -> None:
        content = Path(checkpoint_dir, "weights").read_text()
        if content == "torn":
            raise ValueError("its weights are torn")
        Path(out_dir).mkdir(parents=True)
        Path(out_dir, "copy").write_text(content)


@pytest.fixture
def results(tmp_path):
    """Return a function that writes a results folder whose best trial has its checkpoint at this path."""

    def write(checkpoint: str | None, *, content: str = "1 2 3"):
        folder = tmp_path / "results"
        here = folder / "checkpoints" / "00000" / "checkpoint_000001"
        here.mkdir(parents=True)
        (here / "weights").write_text(content)
        journal = Journal(folder)
        trainable = {"kind": f"{__name__}:Exporting"}
        sweep = {"trainable": trainable, "space": {}, "objective": {"metric": "loss", "mode": "min"}}
        put(journal, "sweep", sweep=sweep, version="0")
        put(journal, "suggested", 0, config={}, seed=0)
        put(journal, "started", 0, node="here")
        put(journal, "result", 0, iteration=1, value=0.5, seconds=1.0, metrics={})
        if checkpoint is not None:
            path = checkpoint.format(folder=folder)
            put(journal, "checkpoint", 0, path=path, iteration=1, best=path)
        put(journal, "ended", 0, state="completed", error=None)
        journal.close()
        return folder

    return write


@pytest.mark.parametrize("was_at", ["{folder}", "/somewhere/else"], ids=["in its place", "moved"])
def test_the_checkpoint_is_found_even_in_a_moved_folder(results, tmp_path, was_at):
    folder = results(f"{was_at}/checkpoints/00000/checkpoint_000001")
    found = export(folder, tmp_path / "model", trust=True)
    assert found == folder / "checkpoints" / "00000" / "checkpoint_000001"
    assert (tmp_path / "model" / "copy").read_text() == "1 2 3"


def test_a_best_trial_without_a_checkpoint_is_named_in_the_error(results, tmp_path):
    with pytest.raises(ResultsError, match=r"best trial, 00000, has no checkpoint$"):
        export(results(None), tmp_path / "model")


def test_a_checkpoint_outside_the_folder_is_named_in_the_error(results, tmp_path):
    with pytest.raises(ResultsError, match=r"is missing: this folder has no 's3://bucket/checkpoint'"):
        export(results("s3://bucket/checkpoint"), tmp_path / "model")


def test_the_trainable_s_complaint_about_the_checkpoint_is_the_error(results, tmp_path):
    folder = results("{folder}/checkpoints/00000/checkpoint_000001", content="torn")
    with pytest.raises(ResultsError, match=r"cannot export it: its weights are torn$"):
        export(folder, tmp_path / "model", trust=True)


def test_a_folder_that_is_not_empty_is_left_unchanged(results, tmp_path):
    folder = results("{folder}/checkpoints/00000/checkpoint_000001")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("keep")
    with pytest.raises(ResultsError, match=r"model already exists; choose another name or remove it$"):
        export(folder, tmp_path / "model", trust=True)
    assert (tmp_path / "model" / "mine").read_text() == "keep"
