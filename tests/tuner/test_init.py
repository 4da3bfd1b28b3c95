"""``tuner init`` writes a sweep that runs, overwrites nothing and says what comes next."""

import json
import os
from pathlib import Path

import pytest

from tuner import Sweep, templates
from tuner.cli import OK, WRONG_INPUT, main
from tuner.trainable import trainables


def test_there_is_a_first_sweep_for_every_kind_of_trainable() -> None:
    assert set(templates.kinds()) == {*trainables(), "function", "lightning", "ray", "torch"}


def test_kinds_are_listed_with_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--list"]) == OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(templates.kinds())
    assert all(len(line.split()) > 5 for line in lines)


def test_init_writes_a_sweep_and_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == OK
    assert capsys.readouterr() == ("sweep.yaml\n", "next: tuner run sweep.yaml\n")
    assert Sweep.read("sweep.yaml").trainable.name == "mlp"


def test_init_writes_the_files_that_the_sweep_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new folder"
    assert main(["init", "function", "--out", str(folder)]) == OK
    out, err = capsys.readouterr()
    assert out == f"{folder}/train.py\n{folder}/sweep.yaml\n"
    assert err == f"next: tuner run '{folder}/sweep.yaml'\n"
    assert sorted(os.listdir(folder)) == ["sweep.yaml", "train.py"]


def test_init_answers_programs_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--list", "--json"]) == OK
    assert json.loads(capsys.readouterr().out) == templates.kinds()
    assert main(["init", "ray", "--out", str(tmp_path), "--json"]) == OK
    files = [f"{tmp_path}/trainable.py", f"{tmp_path}/sweep.yaml"]
    assert json.loads(capsys.readouterr().out) == {"files": files, "next": f"tuner run {files[1]}"}


@pytest.mark.parametrize("name", ["sweep.yaml", "train.py"])
def test_init_overwrites_nothing(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["init", "function", "--out", str(tmp_path)]) == WRONG_INPUT
    what = "exists already; move it, or write into another folder with --out"
    assert capsys.readouterr() == ("", f"error: {tmp_path / name}: {what}\n")
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", "--out", str(tmp_path / "file")]) == WRONG_INPUT
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'file'}: cannot be written: ")


def test_an_unknown_kind_gets_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["init", "mpl", "--out", str(tmp_path)]) == WRONG_INPUT
    assert capsys.readouterr().err == "error: unknown kind 'mpl'; did you mean 'mlp'?\n"
