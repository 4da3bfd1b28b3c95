"""Measure the time that ``tuner run`` adds to the start and stop of Ray: ``python -m benchmarks.startup``.

Each round runs both commands, each in a process of its own. The table shows medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tuner.journal import read
from tuner.journal.events import Result

RAY_ALONE = "import ray; ray.init(address='local', log_to_driver=False); ray.shutdown()"

FUNCTION = "def train(config):\n    return {'loss': (config['x'] - 0.3) ** 2}\n"

SWEEP = """
trainable: train.py:train
space: {x: {float: [0, 1]}}
objective: {metric: loss, mode: min}
budget: {trials: 10}
searcher: random
"""


def main() -> None:
    """Print the medians of both commands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each command runs (default: 5)")
    rounds = parser.parse_args().rounds
    rows: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "train.py").write_text(FUNCTION, encoding="utf-8")
        Path(folder, "sweep.yaml").write_text(SWEEP, encoding="utf-8")
        for number in range(rounds):
            rows.append((ray_alone(), *tuner_run(folder)))
            alone, whole, printed = rows[-1]
            print(f"round {number + 1}: {alone:.2f} s, {whole:.2f} s, {printed:.2f} s", flush=True)
    alone, whole, printed = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"ray.init() and ray.shutdown()          {alone:6.2f} s")
    print(f"tuner run, ten trivial trials          {whole:6.2f} s ({whole - alone:+.2f} s)")
    print(f"last result to the printed best value  {printed:6.2f} s")


def ray_alone() -> float:
    """Return the seconds of a process that starts and stops Ray."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", RAY_ALONE], check=True, capture_output=True, env=_environment())
    return time.perf_counter() - began


def tuner_run(folder: str) -> tuple[float, float]:
    """Return the seconds of ``tuner run``, and those from the last result to the printed best value."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "tuner.cli", "run", "sweep.yaml", "--out", out]
        with subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("tuner run printed nothing")
            printed = time.time()
            process.stdout.read()
        seconds = time.perf_counter() - began
        last = max(event.time for event in read(Path(out, "sweep")) if isinstance(event, Result))
    return seconds, printed - last


def _environment() -> dict[str, str]:
    return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}


if __name__ == "__main__":
    main()
