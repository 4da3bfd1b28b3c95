"""The pages show only working code: every block runs, in order, in one folder per page."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, ROOT, blocks, written_pages
from tests.docs.execution import run_block
from tuner import Sweep, run
from tuner.code.modules import LOADED_FILES

NOT_RUN: dict[str, list[str]] = {
    "CONTRIBUTING.md": ["installs packages, and .ci/run does the same", "needs a GPU"],
    "README.md": [".ci/run installs the package and runs this sweep", ".ci/run runs the tests"],
    "docs/clusters.md": [
        "needs a Ray cluster that runs outside the test",
        "needs an AWS account",
        "needs an AWS account",
    ],
    "docs/hydra.md": ["the app above reports nothing"],
    "docs/index.md": [".ci/run installs the package and runs this sweep"],
    "docs/migration.md": ["needs an account of W&B"],
    "docs/results.md": ["tests/integration/test_evaluate.py runs it", "the sweep stands for any"],
}
"""Page -> why some of its blocks are not run, in order. A block that is not run is counted here."""

_RUNS = re.compile(r"tuner run|results/|fit\(|run\(sweep")

PAGES = {str(path.relative_to(ROOT)): path for path in written_pages()}


@pytest.fixture(scope="session")
def digits(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a short run of the sweep that README begins with."""
    out = tmp_path_factory.mktemp("results")
    overrides = ["budget.trials=6", "budget.iterations=9", "budget.concurrent=1", f"out={out}"]
    report = run(Sweep.read(ROOT / "sweeps" / "digits.yaml", overrides), progress=None)
    assert report.counts()["failed"] == 0
    return report.folder


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a clone of the repository the current folder, as a reader has it.

    Forget a page's files after it.
    """
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("COLUMNS", "100")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
            LOADED_FILES.pop(name, None)


def needs_ray(page: str) -> bool:
    """Return whether some block of a page runs a sweep or reads the results of one."""
    return any(_RUNS.search(block.text + block.marks.get("first", "")) for block in blocks(PAGES[page]))


@pytest.mark.ray
@pytest.mark.timeout(600)  # a page may have ten sweeps
@pytest.mark.parametrize("page", [page for page in PAGES if needs_ray(page)])
def test_every_block_of_a_page_with_sweeps_works(page: str, desk: Path, digits: Path) -> None:
    shutil.copytree(digits, desk / "results" / "digits")
    run_page(page, desk)


@pytest.mark.parametrize("page", [page for page in PAGES if not needs_ray(page)])
def test_every_block_of_a_page_works(page: str, desk: Path) -> None:
    run_page(page, desk)


def run_page(page: str, folder: Path) -> None:
    """Run a page's blocks. Those that need a missing library are skipped, after the others have run."""
    missing: set[str] = set()
    for block in blocks(PAGES[page]):
        lacking = {name for name in block.marks.get("needs", "").split() if find_spec(name) is None}
        missing |= lacking
        if "not run" not in block.marks and not lacking:
            run_block(block, folder)
    if missing:
        pytest.skip(f"all other blocks ran; not installed: {', '.join(sorted(missing))}")


def test_blocks_that_do_not_run_are_counted() -> None:
    found = {
        page: reasons
        for page, path in PAGES.items()
        if (reasons := [block.marks["not run"] for block in blocks(path) if "not run" in block.marks])
    }
    assert found == NOT_RUN


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    assert named == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize(
    "name", ["sweep-file", "searchers", "schedulers", "trainables", "trackers", "command-line", "journal"]
)
def test_a_page_of_the_reference_matches_the_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    pages = runpy.run_path(str(DOCS / "settings.py"))["pages"]()
    text = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert text == pages[f"{name}.md"], "run python docs/settings.py"
