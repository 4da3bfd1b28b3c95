"""Every first sweep of ``tuner init`` runs as written, with fewer trials."""

import sys

import pytest

from tests.present import present
from tuner import Sweep, run, templates
from tuner.code.modules import LOADED_FILES


@pytest.fixture
def _files_as_before():
    """Forget the files that a sweep has loaded, since other tests use the same file names."""
    before = dict(LOADED_FILES)
    yield
    for name in LOADED_FILES.keys() - before.keys():
        sys.modules.pop(name, None)
    LOADED_FILES.clear()
    LOADED_FILES.update(before)


@pytest.mark.parametrize("kind", templates.kinds())
@pytest.mark.usefixtures("_files_as_before")
def test_a_first_sweep_runs(kind, tmp_path):
    if kind == "lightning":
        pytest.importorskip("lightning")
    *_, path = templates.write(kind, tmp_path)
    small = ["budget.trials=2", "budget.iterations=2", "budget.concurrent=1", "resources.lanes=1"]
    report = run(Sweep.read(path, [*small, f"out={tmp_path / 'results'}"]))
    assert report.counts()["failed"] == 0
    assert len(report.trials) == 2
    assert present(report.best()).value is not None
