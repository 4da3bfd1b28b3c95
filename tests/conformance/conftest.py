"""Fixtures that all contract tests share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_collection() -> Iterator[None]:
    """Exclude torch and Ray from garbage collection, which the contract runs for each trial."""
    gc.freeze()
    yield
    gc.unfreeze()
