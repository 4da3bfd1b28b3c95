"""What a user is shown while a sweep runs."""

import io

import pytest
from rich.console import Console

from tuner import Budget, Float, Objective, Sweep
from tuner.engine.host import Host
from tuner.engine.memory import Leak
from tuner.engine.progress import Lines, Live
from tuner.journal import Journal

LEAK = (
    "trials leave GPU memory behind: between trials a worker held 400 MB at first and 1.9 GB now, of its "
    "share of 10.0 GB; it is replaced, as others will be"
)
LANES = (
    "the device's memory does not hold all lanes of a worker: it goes on with 4 trials at once, as others "
    "may; trials that had no room start again"
)


@pytest.mark.parametrize(
    "shown",
    [Lines, lambda stream: Live(Console(file=stream, width=200, force_terminal=True))],
    ids=["lines", "live"],
)
def test_what_is_wrong_with_workers_is_told_once(shown, tmp_path):
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={"x": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=1),
    )
    stream = io.StringIO()
    host, progress = Host(sweep, Journal(tmp_path)), shown(stream)
    progress.open(sweep, tmp_path, 1)
    host.suggest()
    for lanes in (4, 3):
        host.leaked(Leak("gpu", before=400_000_000, after=1_900_000_000, share=10_000_000_000), "127.0.0.1")
        host.lost(0, "CUDA out of memory", lanes=lanes)
        progress._drawn = 0.0
        progress.show(host)
    progress.close()
    assert [stream.getvalue().count(warning) for warning in (LEAK, LANES)] == [1, 1]
