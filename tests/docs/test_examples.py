"""The promises of the pages about their examples: short, searchable by every searcher, trained in lanes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tuner
from tests.docs.blocks import DOCS, blocks
from tests.integration.running import most_at_once
from tuner import SearchSpace, Sweep, run
from tuner.schedulers import SCHEDULERS
from tuner.searchers import SEARCHERS, beginning
from tuner.yaml12 import read_yaml


def example(page: str, title: str) -> str:
    [found] = [block.text for block in blocks(DOCS / page) if block.title == title]
    return found


def test_a_model_takes_at_most_15_lines() -> None:
    lines = example("trainables.md", "moons.py").splitlines()
    assert len([line for line in lines if line.strip()]) <= 15


def test_a_trainable_with_lanes_takes_at_most_40_lines() -> None:
    assert len(example("lanes.md", "linear.py").strip().splitlines()) <= 40


@pytest.mark.ray
def test_a_trainable_with_lanes_trains_in_lanes(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("linear.py", "linear.yaml"):
        (tmp_path / name).write_text(example("lanes.md", name))
    monkeypatch.chdir(tmp_path)
    report = run(Sweep.read("linear.yaml"), progress=None)
    assert report.counts()["failed"] == 0
    best = report.best()
    assert best is not None
    assert best.value is not None
    assert best.value < 1.0
    assert most_at_once(report) > 4  # the CPUs of the cluster


def test_the_space_on_the_page_suits_every_searcher(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(example("search-spaces.md", "space.yaml"))
    space = SearchSpace(read_yaml(tmp_path / "space.yaml")["space"])
    found = {name: beginning.problems(spec(), space) for name, spec in SEARCHERS.items()}
    # Grids list the values of each dimension, so a float must give their number.
    finite = {"grid", "reinforce"}
    assert {name for name, problems in found.items() if problems} == finite
    assert {problem.what.split("'")[1] for name in finite for problem in found[name]} == {"points"}


def test_the_python_reference_names_every_public_name() -> None:
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert [name for name in vars(tuner)["__all__"] if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize(("page", "table"), [("searchers.md", SEARCHERS), ("early-stopping.md", SCHEDULERS)])
def test_a_page_names_every_method(page: str, table: dict[str, object]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [name for name in table if f"`{name}`" not in text] == []
