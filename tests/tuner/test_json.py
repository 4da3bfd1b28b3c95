"""Every command answers in JSON with frozen exit codes; agents call the same commands as MCP tools."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tuner.listing
import tuner.sweep  # noqa: F401
from tuner.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent

FUNCTION = """
import time

def train(config):
    print("x is", config["x"])
    time.sleep(config.get("sleep", 0))
    if config["x"] > 3:
        raise ValueError("too large")
    return {"loss": config["x"]}
"""

SWEEP = """
trainable: train.py:train
space: {x: {choice: [1, 2, 4]}, sleep: 0}
objective: {metric: loss, mode: min}
budget: {trials: 3}
searcher: grid
"""

Json = Callable[..., tuple[int, Any]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a folder with a script and a sweep file, and make it the working directory."""
    (tmp_path / "train.py").write_text(FUNCTION)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(project: Path, capsys: pytest.CaptureFixture[str], modules_as_before: None) -> Json:
    """Return a function that runs a command with ``--json`` and gives its exit code and output."""

    def call(*arguments: str) -> tuple[int, Any]:
        code = main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_check_answers_with_the_resolved_sweep(command: Json) -> None:
    code, answer = command("check", "sweep.yaml", "--set", "seed=3")
    assert code == 0
    assert answer["summary"].startswith("3 trials of train.py:train")
    assert (answer["sweep"]["seed"], answer["sweep"]["searcher"]["kind"]) == (3, "grid")


def test_problems_are_reported_in_json(command: Json) -> None:
    code, answer = command("check", "sweep.yaml", "--set", "budget.trails=3", "--set", "seed=-1")
    assert code == 2
    assert answer["error"] == "SpecError"
    assert [problem["where"] for problem in answer["problems"]] == ["budget", "seed"]


def test_a_missing_results_folder_is_reported_in_json(command: Json) -> None:
    code, answer = command("report", "nowhere")
    assert (code, answer["error"]) == (2, "ResultsError")
    assert "nowhere" in answer["problems"][0]["what"]


@pytest.mark.parametrize("what", ["sweep", "searchers", "schedulers", "trainables", "trackers"])
def test_lists_describe_every_name(command: Json, what: str) -> None:
    code, answer = command("list", what)
    assert code == 0
    assert all(entry["description"] for entry in answer.values())
    known = {
        "sweep": "budget",
        "searchers": "bayes",
        "schedulers": "asha",
        "trainables": "mlp",
        "trackers": "mlflow",
    }
    assert known[what] in answer


def test_stopping_without_a_running_sweep_is_wrong_input(command: Json, project: Path) -> None:
    code, answer = command("stop", str(project))
    assert (code, answer["problems"][0]["what"]) == (2, f"{project}: no sweep is running in it")


def test_the_documented_exit_codes_match_the_code() -> None:
    from tuner.cli import INTERRUPTED, NOTHING_FINISHED, OK, WRONG_INPUT

    assert (OK, NOTHING_FINISHED, WRONG_INPUT, INTERRUPTED) == (0, 1, 2, 130)
    text = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\d+)` \|", text, re.MULTILINE) == ["0", "1", "2", "130"]


def tools(*calls: tuple[str, dict[str, Any]], folder: Path) -> list[Any]:
    """Start ``tuner mcp`` in a folder, as an agent does, and call tools in sequence."""
    from mcp import Client, StdioServerParameters

    async def exchange() -> list[Any]:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "tuner.cli", "mcp"], cwd=str(folder), env=_environment()
        )
        async with Client(server) as client:
            listed = (await client.list_tools()).tools
            return [listed, *[await client.call_tool(name, arguments) for name, arguments in calls]]

    return asyncio.run(exchange())


def _environment() -> dict[str, str]:
    return dict(os.environ)


def test_tools_have_schemas_and_report_mistakes_as_the_command_does(project: Path) -> None:
    listed, wrong, right, missing = tools(
        ("check", {"sweep": "sweep.yaml", "overrides": ["budget.trails=3"]}),
        ("check", {"sweep": "sweep.yaml"}),
        ("report", {"results": "nowhere"}),
        folder=project,
    )
    assert {tool.name for tool in listed} == {
        "check", "plan", "run", "resume", "stop", "report", "logs", "evaluate", "export", "list_choices",
        "schema",
    }  # fmt: skip
    for tool in listed:
        assert tool.description
        assert tool.input_schema["type"] == "object"
    assert wrong.is_error, wrong
    assert "budget: unknown key 'trails'; did you mean 'trials'?" in wrong.content[0].text
    assert right.structured_content, right
    assert right.structured_content["sweep"]["objective"] == {"metric": "loss", "mode": "min"}
    assert missing.is_error


@pytest.mark.ray
def test_an_agent_runs_a_sweep_and_reads_its_results(project: Path) -> None:
    _, ran, report, errors, printed = tools(
        ("run", {"sweep": "sweep.yaml", "out": "results", "wait_seconds": 120}),
        ("report", {"results": "results/sweep", "limit": 1}),
        ("report", {"results": "results/sweep", "part": "errors"}),
        ("logs", {"results": "results/sweep", "trial": 1}),
        folder=project,
    )
    assert ran.structured_content["exit_code"] == 0
    assert ran.structured_content["best"]["config"]["x"] == 1
    assert report.structured_content["trials_in_all"] == 3
    assert [trial["value"] for trial in report.structured_content["trials"]] == [1.0]
    assert "too large" in errors.structured_content["errors"][0]["error"]
    assert printed.structured_content == {"trial": 1, "printed": "x is 2\n"}


@pytest.mark.ray
def test_an_agent_stops_a_sweep_that_outlives_the_wait(project: Path) -> None:
    _, ran = tools(
        (
            "run",
            {"sweep": "sweep.yaml", "overrides": ["space.sleep=300"], "out": "results", "wait_seconds": 0},
        ),
        folder=project,
    )
    running = ran.structured_content
    assert running["state"] == "running"
    deadline = time.monotonic() + 120
    while not (project / "results" / "sweep" / "driver.lock").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    [_, stopped] = tools(("stop", {"results": running["results"]}), folder=project)
    assert stopped.structured_content == {"results": running["results"], "pid": running["pid"]}
    while "interrupted" not in _reason(project / "results" / "sweep"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _reason(folder: Path) -> str:
    command = [sys.executable, "-m", "tuner.cli", "report", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["reason"])


def test_another_process_with_the_id_of_a_dead_driver_gets_no_signal(project: Path) -> None:
    from tuner.errors import ResultsError
    from tuner.storage.lock import FILE_NAME, interrupt_owner

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        owner = {"host": os.uname().nodename, "pid": process.pid, "began": "1", "token": "x"}
        (project / FILE_NAME).write_text(json.dumps(owner))
        with pytest.raises(ResultsError, match="no sweep is running"):
            interrupt_owner(project)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
