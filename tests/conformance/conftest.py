"""What all contracts share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_collection() -> Iterator[None]:
    """The contract collects garbage for each trial: not among all that torch and Ray have imported."""
    gc.freeze()
    yield
    gc.unfreeze()
