"""Run comparisons one after another on this machine and write ``benchmarks/results.md`` and ``.json``.

Comparisons that do not run keep their results there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.comparisons import COMPARISONS, Case

FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"comparisons to run (default: all): {', '.join(COMPARISONS)}"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the tables")
    parser.add_argument("--without", action="append", default=[], metavar="COMPARISON/CASE", help="leave out")
    options = parser.parse_args()
    for name in [name for name in options.names if name not in COMPARISONS]:
        parser.error(f"unknown comparison '{name}'; must be one of {', '.join(COMPARISONS)}")
    table = options.out / "results.json"
    found: dict[str, Any] = json.loads(table.read_text()) if table.exists() else {}
    for name in options.names or COMPARISONS:
        comparison = COMPARISONS[name]
        print(f"== {name}: {comparison.question}", flush=True)
        cases = [case for case in comparison.cases if f"{name}/{case.name}" not in options.without]
        rows = [{"case": case.name, "setting": case.setting, **measure(name, case)} for case in cases]
        base = rows[-1]["seconds"]
        for row in rows:
            row["ratio"] = row["seconds"] / base
            print(f"   {row['case']:<28} {row['seconds']:8.2f} s  {row['ratio']:7.1f} x", flush=True)
        found[name] = {"question": comparison.question, "machine": machine(), "rows": rows}
        table.write_text(json.dumps(found, indent=2) + "\n")  # saved now, in case the next one is interrupted
        table.with_suffix(".md").write_text(markdown(found))


def measure(name: str, case: Case) -> dict[str, Any]:
    """Run a case in its own process; return its wall time without the start of Python and Ray."""
    code = f"from benchmarks.comparisons import run_case; run_case({name!r}, {case.name!r})"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} / {case.name} failed:\n{done.stdout}\n{done.stderr}")
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**outcome, "with_start": time.monotonic() - began}


def machine() -> dict[str, str]:
    names = ("ray", "torch", "optuna", "numpy")
    return {
        "cores": str(os.cpu_count()),
        "processor": platform.processor() or platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }


def markdown(found: dict[str, Any]) -> str:
    lines = ["# Results", ""]
    for name, comparison in found.items():
        lines += [f"## {name}", "", comparison["question"], ""]
        lines += [", ".join(f"{key} {value}" for key, value in comparison["machine"].items()), ""]
        lines += ["| case | setting | seconds | ratio to tuner | notes |", "|---|---|---:|---:|---|"]
        for row in comparison["rows"]:
            notes = ", ".join(f"{key} {value}" for key, value in row["notes"].items())
            lines.append(
                f"| {row['case']} | {row['setting']} | {row['seconds']:.2f} | {row['ratio']:.2f} | {notes} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
