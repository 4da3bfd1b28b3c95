"""Build and run sweeps over toy trainables, and read their journals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tuner import Budget, Float, Objective, Report, Sweep, run
from tuner.journal import read

HERE = Path(__file__).parent
TOYS = HERE / "toys.py"


def sweep_of(
    toy: str, out: Path, /, *, trials: int | None = 6, iterations: int | None = 9, **parts: Any
) -> Sweep:
    """Return a sweep over ``x`` in [0, 1] that minimises ``loss``. ``parts`` replace its parts.

    One trial runs at a time, unless the test sets resources, because each worker costs a second to start.
    """
    at_once = {} if "resources" in parts else {"concurrent": 1}
    budget = {"trials": trials, "iterations": iterations, **at_once, **parts.pop("budget", {})}
    settings = parts.pop("settings", {})
    return Sweep(
        **{
            "trainable": {"kind": f"{TOYS}:{toy}", **settings},
            "space": {"x": Float(0.0, 1.0, points=max(2, trials or 2))},
            "objective": Objective(metric="loss", mode="min"),
            "budget": Budget(**budget),
            "out": str(out),
            **parts,
        }
    )


def run_toy(toy: str, out: Path, /, **parts: Any) -> Report:
    """Run such a sweep on the shared cluster."""
    return run(sweep_of(toy, out, **parts))


def killed(sweep: Sweep, kind: str | None, number: int, cluster: str, *, before: bool = False) -> Path:
    """Return the results folder of a sweep whose driver is killed at the ``number``-th event of a kind."""
    Path(sweep.out).mkdir(parents=True, exist_ok=True)
    path = Path(sweep.out, "killed.yaml")
    path.write_text(sweep.model_copy(update={"name": "killed"}).to_yaml())
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import diaries; from tuner import Sweep, run\n"
        f"diaries.kill_at({kind!r}, {number}, before={before})\n"
        f"run(Sweep.read({str(path)!r}), address={cluster!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return Path(sweep.out, "killed")


def events(report: Report, *kinds: str) -> list[Any]:
    """Return the journal's events of the given kinds."""
    return [event for event in read(report.folder) if event.kind in kinds]


def most_at_once(report: Report, *, after: str | None = None) -> int:
    """Return the peak number of running trials, since the last event of kind ``after`` if given."""
    running: set[int | None] = set()
    most = 0
    event: Any
    for event in read(report.folder):
        paused = event.kind == "decision" and event.action == "pause"
        if event.kind == "started":
            running.add(event.trial)
        elif paused or event.kind in ("ended", "lost"):
            running.discard(event.trial)
        most = len(running) if event.kind == after else max(most, len(running))
    return most
