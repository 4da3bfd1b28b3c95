"""Run every test here on a real local Ray."""

import pytest


@pytest.fixture(autouse=True)
def _on_the_cluster(cluster):
    return
