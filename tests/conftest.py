"""What all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# As the engine sets it, before anything imports Ray.
os.environ.setdefault("RAY_AUTH_MODE", "token")
# Two threads for a tiny matrix wait for each other longer than they compute, on a busy machine by far.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of PyTorch models run on another device."""
    parser.addoption(
        "--device", default="cpu", choices=("cpu", "cuda"), help="of the models in tests/trainables"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a device that is not there, on which every test would fail."""
    if config.getoption("--device") == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise pytest.UsageError(f"--device: PyTorch ({torch.__version__}) sees no GPU; must be cpu")


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A local Ray with four CPUs, shared by all tests that need no other."""
    import ray

    from tuner.cluster import connection

    with connection.connected(None, verbose=False, num_cpus=4):
        assert ray.is_initialized()
        yield


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
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
