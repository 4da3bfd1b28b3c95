"""Fixtures and hooks that all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import drawing  # noqa: F401  # registers the profile before hypothesis looks for it

# The engine sets it too, before anything imports Ray.
os.environ.setdefault("RAY_AUTH_MODE", "token")
# On a busy machine, two threads for a tiny matrix spend most of their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The number of test processes, unless only single files are chosen. Each starts its own Ray when needed.
_PROCESSES = 2
_TESTS_OF_RAY = Path(__file__).parent / "integration"
_RAY = "ray"  # the marker, and the end of a scope of tests with Ray


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes: none besides pytest's own for single files or a debugger."""
    chosen = [Path(str(each).partition("::")[0]) for each in config.args]
    if config.option.usepdb or all(path.is_file() for path in chosen):
        return 0
    return _PROCESSES


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep tests that share something in one process: those of a class or else of a file, with Ray or not."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            _, at, group = nodeid.rpartition(f"@{_RAY}")
            return nodeid.partition("[")[0].rpartition("::")[0] + (at if at and not group else "")

    config.option.loadscopereorder = False  # the order is that of the collection
    return Sharing(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of a folder that need Ray, and run all marked tests last.

    Long files come first, so that both processes end at about the same time. Before them come the tests that
    start a Ray by themselves in this process, because it must have none.
    """
    for item in items:
        if item.path.is_relative_to(_TESTS_OF_RAY):
            item.add_marker(_RAY)
        if item.get_closest_marker(_RAY):
            item.add_marker(pytest.mark.xdist_group(_RAY))
    of_ray = Counter(item.path for item in items if item.get_closest_marker(_RAY))

    def place(item: pytest.Item) -> tuple[bool, bool, int]:
        marked = item.get_closest_marker(_RAY) is not None
        shared = item.path.is_relative_to(_TESTS_OF_RAY)
        return marked, shared, -of_ray[item.path] if marked else 0

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude the tests and the imported libraries from garbage collection, which some tests run often."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of PyTorch models run on another device."""
    parser.addoption(
        "--device", default="cpu", choices=("cpu", "cuda"), help="device of the models in tests/trainables"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a missing device, on which every test would fail."""
    if config.getoption("--device") == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise pytest.UsageError(f"--device: PyTorch ({torch.__version__}) sees no GPU; must be cpu")


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Start a local Ray with four CPUs, shared by all tests that need no other; yield its address.

    With 4 GiB, tests of leaks need not fill more memory than the smallest step that counts as growth.
    """
    import ray

    from tuner.cluster import connection

    with connection.connected(None, verbose=False, num_cpus=4, memory=4 * 2**30):
        yield ray.get_runtime_context().gcs_address


@pytest.fixture
def repository() -> Path:
    """Return the root of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def modules_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules and files that a test has imported."""
    from tuner.code.modules import LOADED_FILES

    modules, files = dict(sys.modules), dict(LOADED_FILES)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    LOADED_FILES.clear()
    LOADED_FILES.update(files)
