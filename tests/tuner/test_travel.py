"""The user's files travel to nodes that lack them."""

import shutil
from pathlib import Path

import pytest

from tuner import ClusterError
from tuner.cluster.lanes import WorkerHandle
from tuner.code import travel
from tuner.code.travel import CodeArchive, moved
from tuner.worker.setup import Place, Results


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a folder with code, data, and files that must not travel."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = tmp_path / "project"
    for name, text in {
        "train.py": "import helper",
        "helper.py": "VALUE = 1",
        "data/rows.csv": "1,2",
        "secret.bin": "x" * 1000,
        ".gitignore": "*.bin\n/results/\n",
        "results/a/journal.sqlite": "x",
        "__pycache__/train.pyc": "x",
        "venv/pyvenv.cfg": "x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_existing_files_are_used_in_place(project):
    assert CodeArchive([project]).unpack() == {project: project}


def test_a_node_without_the_files_unpacks_them(project):
    archive = CodeArchive([project, project / "data"])
    shutil.rmtree(project)
    places = archive.unpack()
    assert names(places[project]) == [".gitignore", "data/rows.csv", "helper.py", "train.py"]
    assert archive.unpack() == places
    assert moved(str(project / "data"), places) == str(places[project] / "data")
    assert moved("/elsewhere", places) == "/elsewhere"


def test_a_node_with_other_files_in_that_place_unpacks_them(project):
    archive = CodeArchive([project])
    (project / "helper.py").write_text("VALUE = 2")
    place = archive.unpack()[project]
    assert place != project
    assert (place / "helper.py").read_text() == "VALUE = 1"


def test_without_git_environments_and_hidden_folders_do_not_travel(project, monkeypatch):
    monkeypatch.setattr(travel, "_list_by_git", lambda root: None)
    archive = CodeArchive([project])
    shutil.rmtree(project)
    found = names(archive.unpack()[project])
    assert {"train.py", "data/rows.csv"} <= set(found)
    assert not any("venv" in name or "pycache" in name for name in found)


def test_a_large_folder_does_not_travel_and_its_absence_is_an_error(project, monkeypatch):
    monkeypatch.setattr(travel, "_MAX_BYTES", 10)
    archive = CodeArchive([project])
    assert archive.unpack() == {project: project}
    shutil.rmtree(project)
    with pytest.raises(ClusterError, match=r"not found on node .*; we send at most 0 MiB of files"):
        archive.unpack()


@pytest.fixture
def placed(monkeypatch):
    """Return a function that fakes what a worker reports about its node."""
    monkeypatch.setattr("tuner.cluster.lanes.versions", lambda: {"Python": "3.11.7", "ray": "2.60.0"})

    def place(versions=None, sees=True):
        worker = WorkerHandle(None)
        worker._results = Results("/results/s", "token")
        worker._place = Place("10.0.0.2", "h2", versions or {"Python": "3.11.7", "ray": "2.60.0"}, sees)
        monkeypatch.setattr("ray.get", lambda found: found)
        return worker

    return place


def test_a_node_like_this_one_is_accepted(placed):
    placed().check()


def test_a_node_without_the_results_folder_is_refused(placed):
    with pytest.raises(ClusterError) as refusal:
        placed(sees=False).check()
    what = "node h2 (10.0.0.2) does not see the results folder"
    remedy = "choose a folder on a disk that all nodes share (--out)"
    assert str(refusal.value) == f"/results/s: {what}; {remedy}"


def test_a_node_with_other_versions_is_refused(placed):
    with pytest.raises(ClusterError) as refusal:
        placed({"Python": "3.11.9"}).check()
    assert str(refusal.value) == (
        "node h2 (10.0.0.2) has Python 3.11.9 instead of 3.11.7, ray missing instead of 2.60.0; "
        "install the same versions on all nodes"
    )
