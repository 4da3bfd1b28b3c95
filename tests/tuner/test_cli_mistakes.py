"""The messages about a wrong command line, a missing file and a folder without a sweep."""

from pathlib import Path

import pytest

from tuner.cli import WRONG_INPUT, main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chek", "sweep.yaml"], "unknown verb 'chek'; did you mean 'check'?"),
        (["sweep.yaml"], "'sweep.yaml' is no verb; write tuner run sweep.yaml"),
        ([], "VERB: must be given"),
        (["run"], "SWEEP: must be given"),
        (["run", "sweep.yaml", "--trials", "8"], "unknown argument '--trials'; write --set budget.trials=8"),
        (["run", "a.yaml", "--max-concurrent=3"],
         "unknown argument '--max-concurrent'; write --set budget.concurrent=3"),
        (["check", "a.yaml", "--seed", "8"], "unknown argument '--seed'; write --set seed=8"),
        (["run", "a.yaml", "--gpus"], "unknown argument '--gpus'; write --set resources.gpu=VALUE"),
        (["run", "a.yaml", "--addres=x", "b"], "unknown argument 'b'"),
        (["report", "a", "--epochs", "3"], "unknown argument '--epochs'; "),
        (["report", "a", "--format", "pdf"], "--format: unknown value 'pdf'; must be one of "),
        (["list", "searcher"], "what: unknown value 'searcher'; did you mean 'searchers'?"),
        (["plan", "a.yaml", "--workers", "a"],
         "--workers: must be whole numbers from 1, as in 1,8,64, got 'a'"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_with_a_remedy(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == WRONG_INPUT
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == ""
    assert first.startswith(f"error: {sentence}")
    assert second.endswith("--help lists the arguments")


def test_a_missing_sweep_file_gets_the_nearest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.yaml").write_text("")
    assert main(["check", str(tmp_path / "swep.yml")]) == WRONG_INPUT
    hint = f"there is no such file; did you mean '{tmp_path / 'sweep.yaml'}'?"
    assert capsys.readouterr().err == f"error: {tmp_path / 'swep.yml'}: {hint}\n"


def test_a_folder_of_results_folders_gets_the_newest_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "journal.sqlite").write_bytes(b"")
    assert main(["report", str(tmp_path)]) == WRONG_INPUT
    what = f"holds no sweep; must be a results folder with a journal.sqlite, as in {tmp_path / 'first'}"
    assert capsys.readouterr().err == f"error: {tmp_path}: {what}\n"
