"""The journal returns events as they were written, in order, at any time."""

import contextlib
import math
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tuner.journal_rows import put
from tuner import journal, resume
from tuner.errors import ResultsError
from tuner.journal import FILE_NAME, Journal, read
from tuner.journal.events import Finished, Result, Suggested, SweepBegan


def written(folder) -> list[Any]:
    """Return the events of a journal."""
    return list(read(folder))


def kinds(folder: Path) -> list[str]:
    return [event.kind for event in journal.read(folder)]


def test_events_come_back_in_the_order_they_were_written(tmp_path: Path) -> None:
    before = time.time()
    writer = Journal(tmp_path)
    put(writer, "sweep", sweep={"seed": 7}, version="1")
    put(writer, "suggested", 0, config={"lr": 1e-4, "sizes": [1, 2], "name": None, "über": True}, seed=3)
    put(writer, "finished", reason="trials")
    writer.close()
    events = list(journal.read(tmp_path))
    assert events == [
        SweepBegan({"seed": 7}, version="1"),
        Suggested(0, {"lr": 1e-4, "sizes": [1, 2], "name": None, "über": True}, seed=3),
        Finished("trials"),
    ]
    assert before <= events[0].time <= events[1].time <= events[2].time <= time.time()


def test_an_event_can_be_read_while_the_writer_is_open(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    put(writer, "sweep", sweep={})
    reading = journal.read(tmp_path)
    assert next(reading).kind == "sweep"
    put(writer, "suggested", 0, config={}, seed=0)
    assert kinds(tmp_path) == ["sweep", "suggested"]
    reading.close()  # type: ignore[attr-defined]
    writer.close()


def test_a_written_event_survives_a_killed_writer(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from tuner.journal import Journal; "
        "from tuner.journal.events import SweepBegan; "
        "Journal(pathlib.Path(sys.argv[1])).write(SweepBegan({'seed': 7})); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path], check=False).returncode == 9
    assert list(journal.read(tmp_path)) == [SweepBegan({"seed": 7})]


def test_a_reader_in_another_process_does_not_delete_the_log_in_use(tmp_path: Path) -> None:
    code = f"import pathlib, tuner.journal as j; print(len([*j.read(pathlib.Path({str(tmp_path)!r}))]))"
    writer = Journal(tmp_path)
    put(writer, "sweep", sweep={})
    writer.sync()
    for expected in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
        put(writer, "spent", gpu_seconds=1.0)
    writer.close()
    assert len(list(read(tmp_path))) == 3


def test_a_value_that_is_not_a_number_never_enters_the_journal(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    put(writer, "sweep", sweep={})
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        writer.write(Result(0, iteration=1, value=math.nan, seconds=1.0, metrics={}))
    writer.close()
    assert kinds(tmp_path) == ["sweep"]


def test_a_folder_without_a_journal_holds_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as refusal:
        list(journal.read(tmp_path))
    assert str(refusal.value) == f"{tmp_path}: holds no sweep; must be a results folder with a {FILE_NAME}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_a_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("not a database, though long enough to be taken for one\n" * 100)
    with pytest.raises(ResultsError) as refusal:
        list(journal.read(tmp_path))
    assert str(refusal.value) == (
        f"{tmp_path / FILE_NAME}: cannot be read as a journal: file is not a database"
    )


def test_a_database_without_events_is_not_a_journal(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(ResultsError) as refusal:
        list(journal.read(tmp_path))
    assert str(refusal.value) == (
        f"{tmp_path / FILE_NAME}: cannot be read as a journal: no such table: events"
    )


def test_an_empty_journal_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(ResultsError) as refusal:
        resume(tmp_path)
    assert str(refusal.value) == f"{tmp_path}: its run ended before the sweep began; start a new run"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("DELETE FROM events WHERE number = 2", "event 2 is missing; the next one is 3"),
        ("UPDATE events SET number = -7 WHERE number = 3", "event 1 is missing; the next one is -7"),
    ],
)
def test_a_journal_with_a_missing_event_is_refused(damage: str, sentence: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for _ in range(3):
        put(journal, "closed")
    journal.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(ResultsError) as refusal:
        list(read(tmp_path))
    assert str(refusal.value) == f"{tmp_path / FILE_NAME}: {sentence}"


def test_a_journal_with_a_damaged_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CR\xf2ATE TABLE"))
    with pytest.raises(ResultsError, match=f"^{path}: cannot be read as a journal: [^\n]+$"):
        list(read(tmp_path))


def test_a_journal_has_one_writer_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(ResultsError, match="a sweep is running in it"):
        Journal(tmp_path)
    journal.close()
    Journal(tmp_path).close()


def test_a_journal_can_be_continued(tmp_path: Path) -> None:
    for number in (0, 1, 2):
        journal = Journal(tmp_path)
        if number == 0:
            put(journal, "sweep", sweep={})
        else:
            put(journal, "spent", gpu_seconds=number)
        journal.close()
    assert [event.gpu_seconds for event in written(tmp_path) if event.kind == "spent"] == [1, 2]


WRITE = """
import os, sys, pathlib, tuner.journal
from tuner.journal.events import Spent
tuner.journal._file.is_shared = lambda folder: True
journal = tuner.journal.Journal(pathlib.Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    journal.write(Spent(float(number)))
print("written", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every folder as one shared between hosts."""
    monkeypatch.setattr("tuner.journal._file.is_shared", lambda folder: True)


@pytest.mark.parametrize("number", [3, 3000])
def test_a_journal_on_shared_storage_can_be_read_while_it_is_written(
    tmp_path: Path, shared: None, number: int
) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path), str(number)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    assert [event.gpu_seconds for event in written(tmp_path)] == list(range(number))
    assert not (tmp_path / f"{FILE_NAME}-shm").exists()  # no memory map on shared storage
    writer.kill()
    writer.communicate()
    assert [event.gpu_seconds for event in written(tmp_path)] == list(range(number))
    journal = Journal(tmp_path)
    put(journal, "spent", gpu_seconds=float(number))
    journal.close()
    assert len(list(read(tmp_path))) == number + 1


def test_a_journal_in_a_read_only_folder_is_read(tmp_path: Path, monkeypatch: Any) -> None:
    journal = Journal(tmp_path)
    put(journal, "spent", gpu_seconds=0.0)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert len(list(read(tmp_path))) == 1
    journal.close()


def test_a_journal_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version=7")
    expected = "a newer tuner wrote it in format 7; this version reads formats up to 1; upgrade tuner"
    with pytest.raises(ResultsError, match=expected):
        list(read(tmp_path))
    with pytest.raises(ResultsError, match=expected):
        Journal(tmp_path)


def test_the_main_file_alone_lacks_only_the_last_seconds(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tuner.journal._file._SECONDS_BETWEEN_FOLDS", 0.0)
    journal = Journal(tmp_path)
    put(journal, "spent", gpu_seconds=0.0)
    journal.fold()
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / FILE_NAME, tmp_path / "copy")
    assert len(list(read(tmp_path / "copy"))) == 1
    journal.close()


def test_a_sweep_of_a_newer_version_is_not_resumed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep={}, version="99.1.0")
    journal.close()
    with pytest.raises(ResultsError, match=r"tuner 99\.1\.0 ran its sweep, but this is tuner 0\."):
        resume(tmp_path)
