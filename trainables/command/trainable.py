"""``command``: runs a program as a trial, and passes its results on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.command import arguments
from trainables.command.program import Line, Outcome, Program
from trainables.command.results import (
    OutputReader,
    ResultCollector,
    no_result,
    reader_of,
    take_checkpoint,
)
from trainables.configs.command import CommandConfig, CommandSettings
from trainables.configs.strict import parse
from tuner import client

_SECONDS_PER_LOOK = 0.1
"""Interval at which files with results are read, and at which a stopped trial is noticed."""

_MENTIONS = ("checkpoint", "restore(", "tuner.integrations")
"""A script that writes checkpoints contains one of these texts."""


class _Command:
    """The function of the trainable. Its attributes are capabilities (see ``tuner.contract``)."""

    __name__ = "command"
    __qualname__ = "command"
    Config = CommandConfig
    Settings = CommandSettings

    def __call__(self, config: dict[str, Any]) -> None:
        """Run the program of one trial. Raises TrialFailed if it fails."""
        settings = settings_of(config)
        trial = _Trial(settings, config)
        program = Program(
            trial.line, folder=trial.folder, environment=trial.environment(), grace=settings.grace
        )
        try:
            _follow(program, trial)
        finally:
            for line in program.stop():
                _show(line)

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise ValueError if the command line does not fit the hyperparameters."""
        settings = settings_of(config)
        arguments.check(settings, config)
        if settings.cwd is not None and not Path(settings.cwd).is_dir():
            raise ValueError(f"cwd: there is no folder '{settings.cwd}' (looked in {Path.cwd()})")

    def visible(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration as the program gets it from ``tuner.client``."""
        values = arguments.hyperparameters(config)
        return {**values, **{name: config[name] for name in arguments.SEEDS if name in config}}

    def seconds_to_stop(self, settings: Mapping[str, Any]) -> float:
        """Return how long a stopped trial may take to end."""
        return settings_of(settings).grace

    def files(self, settings: Mapping[str, Any]) -> Sequence[Path]:
        """Return the user's files in the command line."""
        return arguments.files(settings_of(settings))

    def writes_checkpoints(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the program seems to write checkpoints, as far as its text is known."""
        parsed = settings_of(settings)
        if "checkpoint" in arguments.placeholders(parsed):
            return True
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in self.files(settings)]
        return any(mention in text for text in texts for mention in _MENTIONS)


command = _Command()


def settings_of(config: Mapping[str, Any]) -> CommandSettings:
    """Return the settings in what a trial receives."""
    known = {name: config[name] for name in CommandSettings.model_fields if name in config}
    return parse(CommandSettings, known, where="trainable")


class _Trial:
    """One trial's command line, folder and results."""

    def __init__(self, settings: CommandSettings, config: Mapping[str, Any]) -> None:
        self._settings = settings
        self._config = config
        self.folder = Path.cwd() if settings.cwd is None else Path(settings.cwd)
        self.about = client.about()
        self.values = arguments.hyperparameters(config)
        self.line = arguments.command_line(settings, self.values, self._other)
        self.leads = os.environ.get("RANK", "0") == "0"
        """Whether its results count: those of the first process, if the trial has several."""
        self.reader: OutputReader | None = reader_of(settings, self.folder) if self.leads else None
        self.results = ResultCollector(self.about["metrics"])

    def environment(self) -> dict[str, str]:
        """Return the environment of the program."""
        # `python` and the commands of its packages are those that run this sweep
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
        ours = {"PATH": path, "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **ours, **{name: str(value) for name, value in self._settings.env.items()}}

    def report(self, metrics: Mapping[str, Any]) -> None:
        """Report the result that these metrics complete, if any."""
        if (result := self.results.add(metrics)) is not None:
            checkpoint = take_checkpoint(result, self.folder.absolute())
            client.report(result, checkpoint=checkpoint)

    def missing(self, last: Sequence[str]) -> str:
        """Say that the program reported no result, and what to do. ``last``: its last lines of output."""
        return no_result(self._settings, self.about["metrics"], found=self.results.pending, last=last)

    def _other(self, name: str) -> str:
        if name == "checkpoint":
            return client.checkpoint() or ""
        if name == "trial":
            return str(self.about["trial"])
        if name == "seed":
            return str(self._config["seed"])
        folder = Path(client.folder())
        if name == "folder":
            return str(folder)
        path = folder / "config.json"
        path.write_text(json.dumps(client.config()), encoding="utf-8")
        return str(path)


def _follow(program: Program, trial: _Trial) -> None:
    """Show a program's output and report its results, until it ends or the trial must end."""
    while (outcome := program.outcome) is None:
        for line in program.lines(_SECONDS_PER_LOOK):
            _show(line)
            if trial.reader is not None and line.stream == "stdout":
                for metrics in trial.reader.read_line(line.text):
                    trial.report(metrics)
        if trial.reader is not None:
            for metrics in trial.reader.read_files():
                trial.report(metrics)
        if client.should_stop():
            return
    if trial.reader is not None:
        trial.report(trial.reader.rest())
    if not client.should_stop():
        _raise_failure(program, outcome, trial)


def _raise_failure(program: Program, outcome: Outcome, trial: _Trial) -> None:
    """Raise TrialFailed unless the program ended well. The text's last line is the cause."""
    how = None
    if outcome.error:
        how = f"did not start: {outcome.error}"
    elif outcome.code:
        code = outcome.code
        how = f"exited with code {code}" if code > 0 else f"was killed by {_name(-code)}"
    elif trial.leads and not client.about()["reports"]:
        last = program.last_lines()
        printed = f" (its last line: {last[-1].strip()})" if last else ""
        raise _failed(trial, last, f"ended {trial.missing(last)}{printed}")
    if how is not None:
        last = program.last_lines()
        cause = f": {last[-1].strip()}" if last else "" if outcome.error else "; it printed nothing"
        raise _failed(trial, last, f"{how}{cause}")


def _failed(trial: _Trial, last: Sequence[str], how: str) -> client.TrialFailed:
    return client.TrialFailed("\n".join([f"$ {shlex.join(trial.line)}", *last, f"the command {how}"]))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _show(line: Line) -> None:
    print(line.text, file=sys.stdout if line.stream == "stdout" else sys.stderr)
