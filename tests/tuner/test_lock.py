"""A results folder has one driver at a time, even on storage shared between hosts."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from pyarrow.fs import LocalFileSystem

from tests.present import present
from tuner import ResultsError
from tuner.storage.disk import is_shared, writing
from tuner.storage.lock import FILE_NAME, FolderLock

HOLD = "import sys, time, pathlib; from tuner.storage.lock import FolderLock; "
HOLD += "lock = FolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


@pytest.fixture
def holding(tmp_path):
    """Start a process that holds the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert present(process.stdout).readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def shared(monkeypatch):
    """Treat every folder as one shared between hosts, so that the kernel's lock is not used."""
    monkeypatch.setattr("tuner.storage.lock.is_shared", lambda folder: True)


def owned_by(folder, **owner):
    (folder / FILE_NAME).write_text(json.dumps({"host": "elsewhere", "pid": 7, "token": "x", **owner}))
    return folder / FILE_NAME


def test_a_locked_folder_is_refused_with_the_name_of_its_owner(tmp_path, holding):
    with pytest.raises(ResultsError) as refusal:
        FolderLock(tmp_path)
    owner = f"process {holding.pid} on {os.uname().nodename}"
    assert str(refusal.value) == f"{tmp_path}: a sweep is running in it ({owner})"


def test_a_locked_shared_folder_is_refused(tmp_path, holding, shared):
    with pytest.raises(ResultsError, match="a sweep is running in it"):
        FolderLock(tmp_path)


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holding, shared):
    holding.kill()
    holding.wait()
    FolderLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_process_whose_id_was_reused_is_taken_over(tmp_path, shared):
    owned_by(tmp_path, host=os.uname().nodename, pid=os.getpid(), began="1")
    FolderLock(tmp_path).release()


def test_a_driver_on_another_host_keeps_a_folder_while_its_heartbeat_lasts(tmp_path):
    path = owned_by(tmp_path)
    with pytest.raises(ResultsError, match="process 7 on elsewhere; it counts as dead after 60 s without"):
        FolderLock(tmp_path)
    os.utime(path, (time.time() - 61,) * 2)
    lock = FolderLock(tmp_path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()


@pytest.mark.parametrize("torn", ["", "{]", "5"])
def test_a_lock_file_torn_by_a_crash_is_taken_over_on_a_local_disk(torn, tmp_path):
    (tmp_path / FILE_NAME).write_text(torn)
    FolderLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_write_error_of_pyarrow_names_the_folder(tmp_path):
    (tmp_path / "checkpoints").touch()
    message = f"^{tmp_path}: cannot be written: Cannot create directory"
    with pytest.raises(ResultsError, match=message), writing(tmp_path):
        LocalFileSystem().create_dir(f"{tmp_path}/checkpoints")


def test_a_lock_that_is_being_written_counts_as_held_on_shared_storage(tmp_path, shared):
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(ResultsError, match="a sweep is running in it"):
        FolderLock(tmp_path)


def test_a_driver_stops_when_another_takes_over_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.storage.lock._SECONDS_BETWEEN_BEATS", 0.01)
    lock = FolderLock(tmp_path)
    lock.check()
    owned_by(tmp_path)
    deadline = time.monotonic() + 10
    with pytest.raises(ResultsError, match=r"process 7 on elsewhere;.*\); that sweep took"):  # noqa: PT012
        while time.monotonic() < deadline:
            lock.check()
    lock.release()
    assert (tmp_path / FILE_NAME).exists()


def test_a_held_lock_is_touched_repeatedly(tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.storage.lock._SECONDS_BETWEEN_BEATS", 0.01)
    lock = FolderLock(tmp_path)
    os.utime(tmp_path / FILE_NAME, (0, 0))
    deadline = time.monotonic() + 10
    while (tmp_path / FILE_NAME).stat().st_mtime == 0:
        assert time.monotonic() < deadline
    lock.release()


def test_only_one_of_many_processes_takes_over_a_stale_lock(tmp_path, shared):
    owned_by(tmp_path, host=os.uname().nodename, pid=2**22 + 1)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(4)
    ]
    assert sorted(present(process.stdout).readline() for process in processes)[-1] == b"held\n"
    assert sum(process.poll() is None for process in processes) >= 1
    deadline = time.monotonic() + 20
    while sum(process.poll() is None for process in processes) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in processes:
        process.kill()
        process.communicate()


def test_a_local_folder_does_not_count_as_shared(tmp_path):
    assert not is_shared(tmp_path)


def test_a_folder_on_a_file_system_in_user_space_counts_as_shared(tmp_path):
    source, mounted = tmp_path / "source", tmp_path / "a b"
    source.mkdir()
    mounted.mkdir()
    command = ["bindfs", str(source), str(mounted)]
    if shutil.which("bindfs") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs bindfs")
    try:
        assert is_shared(mounted)
        (mounted / "below").mkdir()
        assert is_shared(mounted / "below")
        assert not is_shared(source)
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)
