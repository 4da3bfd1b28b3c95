"""The distribution: its name, and that the wheel and the sdist hold every file of the packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import tuner

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tuner", "trainables")


def files_of(folder: Path) -> set[str]:
    """Return the files of the packages in a tree, without those that Python writes at run time."""
    return {
        str(path.relative_to(folder))
        for package in PACKAGES
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and the wheel built from it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in (*PACKAGES, "sweeps"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_wheel_holds_every_file_of_the_packages(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.split("/")[0] in PACKAGES}
    assert names == files_of(ROOT)
    assert {"tuner/py.typed", "tuner/__init__.pyi", "tuner/templates/function/train.py"} <= names


def test_the_sdist_holds_the_packages_and_what_a_reader_needs(dist: Path) -> None:
    [archive] = dist.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert files_of(ROOT) <= names
    assert {"README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "sweeps/digits.yaml"} <= names


def test_the_distribution_is_called_tuner_ray_and_has_the_package_s_version(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
        scripts = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert (metadata["Name"], metadata["Version"]) == ("tuner-ray", tuner.__version__)
    assert "tuner = tuner.cli:main" in scripts
    assert "builtin = trainables:TRAINABLES" in scripts


def test_the_command_says_the_version() -> None:
    command = [sys.executable, "-m", "tuner.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"tuner {tuner.__version__}\n"
