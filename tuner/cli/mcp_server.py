"""``tuner mcp``: a server of the Model Context Protocol that offers the commands as tools.

Each tool starts a command in a new process and returns its JSON. The command sees the latest edits of
a training script, and a sweep outlives the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

import tuner
from tuner.cluster.runner import possible_names

INSTRUCTIONS = """tuner searches hyperparameters. A sweep is one YAML file. Write the file, call check until
it passes, call run, then call report with the results folder. A sweep that is still running can be reported
too. The tools list_choices and schema tell what a sweep file can say."""

SweepFile = Annotated[str, Field(description="path of a sweep file (YAML)")]
Overrides = Annotated[
    list[str], Field(description="changed settings as KEY=VALUE, for example budget.trials=8")
]
Results = Annotated[str, Field(description="path of a results folder")]
Trust = Annotated[bool, Field(description="run the folder's code although another user began its sweep")]
Wait = Annotated[
    float, Field(ge=0, description="seconds to wait for the end; the sweep continues afterwards")
]
Limit = Annotated[int, Field(ge=1, description="most trials in the answer, the best first")]

_FINISHED = (0, 1, 130)
"""Exit codes of a sweep that ran; the others mean wrong input."""

server = MCPServer("tuner", instructions=INSTRUCTIONS, version=tuner.__version__, log_level="WARNING")


@server.tool()
def check(sweep: SweepFile, overrides: Overrides = []) -> dict[str, Any]:  # noqa: B006
    """Check a sweep file and return the sweep with all defaults; all mistakes are reported together."""
    return _object(_answer("check", sweep, *_set(overrides)))


@server.tool()
def plan(
    sweep: SweepFile,
    overrides: Overrides = [],  # noqa: B006
    workers: Annotated[list[int], Field(min_length=1, description="numbers of workers")] = [1, 8, 64],  # noqa: B006
    curves: Annotated[str | None, Field(description="results of a sweep without early stopping")] = None,
) -> dict[str, Any]:
    """Forecast value, time and worker-hours of each scheduler by simulation. Runs a pilot without curves."""
    options = ["--workers", ",".join(map(str, workers)), *(["--curves", curves] if curves else [])]
    return {"forecasts": _answer("plan", sweep, *_set(overrides), *options)}


@server.tool()
def run(
    sweep: SweepFile,
    overrides: Overrides = [],  # noqa: B006
    out: Annotated[str | None, Field(description="where the results folder is made")] = None,
    wait_seconds: Wait = 60,
    limit: Limit = 20,
) -> dict[str, Any]:
    """Run a sweep and return its report, or its results folder if it still runs after ``wait_seconds``."""
    checked = _object(_answer("check", sweep, *_set(overrides)))["sweep"]
    parent = Path(os.path.expanduser(out or checked["out"]))
    name = next(each for each in possible_names(checked["name"]) if not (parent / each).exists())
    command = ["run", sweep, *_set(overrides), "--out", str(parent), "--name", name]
    return _carried_out(command, parent / name, wait_seconds, limit)


@server.tool()
def resume(
    results: Results, trust: Trust = False, wait_seconds: Wait = 60, limit: Limit = 20
) -> dict[str, Any]:
    """Continue a sweep that was killed or interrupted; returns as run does."""
    return _carried_out(["resume", results, *_trust(trust)], Path(results), wait_seconds, limit)


@server.tool()
def stop(results: Results) -> dict[str, Any]:
    """Interrupt a running sweep in good order; resume continues it."""
    return _object(_answer("stop", results))


@server.tool()
def report(
    results: Results,
    part: Annotated[
        Literal["summary", "errors", "decisions", "replay"],
        Field(description="summary: best, counts and trials; replay: the best trial's schedule as a sweep"),
    ] = "summary",
    limit: Limit = 20,
) -> dict[str, Any]:
    """Return the results of a sweep, also while it runs."""
    if part == "summary":
        return _shorten(_object(_answer("report", results)), limit)
    found = _answer("report", results, f"--{part}")
    return {part: found[-limit:] if isinstance(found, list) else found}


@server.tool()
def logs(results: Results, trial: Annotated[int, Field(ge=0)]) -> dict[str, Any]:
    """Return what a trial printed."""
    return _object(_answer("logs", results, str(trial)))


@server.tool()
def evaluate(
    results: Results,
    top: Annotated[int, Field(ge=1, description="how many of the best configurations")] = 3,
    repeats: Annotated[int, Field(ge=1, description="fresh seeds for each of them")] = 5,
    trust: Trust = False,
) -> dict[str, Any]:
    """Repeat the best trials over fresh seeds and score the winner on test rows: was the best only luck?"""
    options = ["--top", str(top), "--repeats", str(repeats), *_trust(trust)]
    return _shorten(_object(_answer("evaluate", results, *options)), top)


@server.tool()
def export(
    results: Results,
    out: Annotated[str, Field(description="folder to write the model to")],
    trust: Trust = False,
) -> dict[str, Any]:
    """Write the best trial's model for use elsewhere."""
    return _object(_answer("export", results, "--out", out, *_trust(trust)))


@server.tool()
def list_choices(
    what: Literal["sweep", "searchers", "schedulers", "trainables", "trackers"],
) -> dict[str, Any]:
    """Return what a sweep file can say, with settings and defaults."""
    return _object(_answer("list", what))


@server.tool()
def schema() -> dict[str, Any]:
    """Return the JSON Schema of a sweep file."""
    return _object(_answer("schema"))


def _set(overrides: list[str]) -> list[str]:
    return [part for each in overrides for part in ("--set", each)]


def _trust(trust: bool) -> list[str]:
    return ["--trust"] if trust else []


def _answer(*arguments: str) -> Any:
    """Run a command and return its JSON. Raises ToolError with the command's own messages if it fails."""
    done = subprocess.run(
        [*_TUNER, *arguments, "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode not in _FINISHED or not done.stdout:
        raise ToolError(_message(done.stdout, done.stderr))
    return json.loads(done.stdout)


def _carried_out(command: list[str], results: Path, wait_seconds: float, limit: int) -> dict[str, Any]:
    """Run or resume a sweep in a process that outlives this server."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [*_TUNER, *command, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code = process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return {"state": "running", "results": str(results), "pid": process.pid}
        printed = [(file.seek(0), file.read())[1] for file in (stdout, stderr)]
    if code not in _FINISHED or not printed[0]:
        raise ToolError(_message(*printed))
    return {"state": "ended", "exit_code": code, **_shorten(json.loads(printed[0]), limit)}


def _message(stdout: str, stderr: str) -> str:
    """Return the problems of a command that failed, else the end of what it printed."""
    try:
        problems = json.loads(stdout)["problems"]
    except (ValueError, KeyError, TypeError):
        return stderr[-2000:].strip() or "the command printed nothing"
    return "\n".join(": ".join(filter(None, (each["where"], each["what"]))) for each in problems)


def _shorten(report: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return a report with at most ``limit`` trials, the best first."""
    objectives = report["sweep"]["objective"]
    first = objectives[0] if isinstance(objectives, list) else objectives
    sign = -1 if first["mode"] == "max" else 1
    ranked = sorted(
        report["trials"],
        key=lambda trial: (trial["value"] is None, sign * (trial["value"] or 0)),
    )
    return {**report, "trials": ranked[:limit], "trials_in_all": len(ranked)}


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ToolError(f"the command answered with {type(answer).__name__} instead of an object")
    return answer


_TUNER = (sys.executable, "-m", "tuner.cli")
