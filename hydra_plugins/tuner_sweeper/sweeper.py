"""``TunerSweeper``: runs a Hydra app as the trials of a sweep. Hydra imports this file whenever it starts."""

# No `from __future__ import annotations`: Hydra imports plugins in a way in which dataclasses then fail.

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

_RESULTS = "optimization_results.yaml"
"""The file in which Hydra's sweepers write the best configuration."""

_OF_THE_SWEEP = (
    *("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher", "hydra.sweep", "hydra.mode"),
)
"""Beginnings of overrides that belong to the sweep and not to its jobs."""

_CALLBACK = "hydra.callbacks.tuner"


@dataclass
class BudgetConf:
    """The limits of a sweep, as under ``budget`` in a sweep file."""

    trials: Any = None
    total_iterations: Any = None
    seconds: Any = None
    gpu_seconds: Any = None
    failures: Any = None
    concurrent: Any = None
    iterations: Any = None
    trial_seconds: Any = None
    silence: Any = None
    retries: Any = None


@dataclass
class ResourcesConf:
    """The devices of a worker, as under ``resources`` in a sweep file."""

    cpu: Any = None
    gpu: Any = None
    processes: Any = None
    placement: Any = None
    accelerator: Any = None
    lanes: Any = None
    isolation: Any = None


@dataclass
class TunerSweeperConf:
    """The settings under ``hydra.sweeper``. They mean the same as in a sweep file."""

    _target_: str = "hydra_plugins.tuner_sweeper.sweeper.TunerSweeper"
    objective: Any = None
    """Default: minimise the metric ``objective``, which is the number that the app returns."""
    budget: BudgetConf = field(default_factory=BudgetConf)
    """Default: 20 trials."""
    searcher: Any = "random"
    scheduler: Any = "fifo"
    resources: ResourcesConf = field(default_factory=ResourcesConf)
    seed: Any = None
    name: str = "sweep"
    """The results folder, in Hydra's ``hydra.sweep.dir``."""
    address: Any = None
    """The address of a running Ray cluster."""
    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL when a trial is stopped."""
    params: Any = None
    """Sweeps by name, such as ``lr: interval(0.001, 1)``, besides those on the command line."""


ConfigStore.instance().store(group="hydra/sweeper", name="tuner", node=TunerSweeperConf, provider="tuner")


class TunerSweeper(Sweeper):
    """A sweeper whose jobs are trials of tuner: searched, stopped early, and resumable."""

    def __init__(self, **settings: Any) -> None:
        self._settings = {name: _plain(value) for name, value in settings.items()}
        self._settings["objective"] = self._settings["objective"] or {"metric": "objective", "mode": "min"}
        for part, default in (("budget", {"trials": 20}), ("resources", {}), ("params", {})):
            given = {key: value for key, value in (self._settings[part] or {}).items() if value is not None}
            self._settings[part] = given or default

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See Hydra's ``Sweeper``."""
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep and return its report. Ends the process if the sweep is wrong or has no result."""
        from tuner import run
        from tuner.cluster.progress import for_stream
        from tuner.errors import TunerError
        from tuner.report import renderings

        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir)
        try:
            sweep = self._sweep(arguments, folder)
            report = run(sweep, address=self._settings["address"], progress=for_stream(sys.stderr))
        except TunerError as error:
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
            raise SystemExit(2) from None
        print(renderings.summary(report), end="")
        best = report.best()
        if report.reason == "interrupted" or best is None:
            raise SystemExit(130 if report.reason == "interrupted" else 1)
        found = {"name": "tuner", "best_evaluated_params": best.config, "best_evaluated_result": best.value}
        OmegaConf.save(OmegaConf.create(found), folder / _RESULTS)
        return report

    def _sweep(self, arguments: Sequence[str], folder: Path) -> Any:
        from tuner import Sweep

        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{name}={value}" for name, value in self._settings["params"].items()]
        overrides = parser.parse_overrides([*params, *arguments])
        given = {each.get_key_element(): each for each in overrides}  # the command line replaces params
        space = {name: dimension(each) for name, each in given.items() if each.is_sweep_override()}
        fixed = [each.input_line for each in given.values() if not each.is_sweep_override()]
        parts = {
            name: self._settings[name] for name in ("objective", "budget", "searcher", "scheduler", "name")
        }
        if self._settings["seed"] is not None:
            parts["seed"] = self._settings["seed"]
        return Sweep(
            trainable={
                "kind": "command",
                "command": list(self._command([str(line) for line in fixed])),
                "grace": self._settings["grace"],
            },
            space=space,
            out=str(folder),
            **parts,
        )

    def _command(self, fixed: Sequence[str]) -> Iterator[str]:
        """Yield the words of a job's command line: the app, its configuration, and all overrides."""
        assert self.config is not None
        metrics = _metrics(self._settings["objective"])
        own = [
            line
            for line in self.config.hydra.overrides.hydra
            if not line.lstrip("+~").startswith(_OF_THE_SWEEP)
        ]
        yield from map(_literal, [*_app(), *_config_flags(sys.argv[1:]), *own, *fixed])
        yield "{overrides}"
        yield "hydra.mode=RUN"
        yield "hydra.run.dir='{folder}'"
        yield f"++{_CALLBACK}._target_=tuner.integrations.hydra.ReportReturnValue"
        yield f"++{_CALLBACK}.metrics=[{','.join(metrics)}]"


def dimension(override: Override) -> dict[str, Any]:
    """Return the dimension of a sweep in Hydra's grammar, as a sweep file writes it."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        start, end = value.start, value.end
        is_int = isinstance(start, int) and isinstance(end, int)
        log = {"log": True} if "log" in value.tags else {}
        return {"int" if is_int else "float": [start, end], **log}
    options = [_option(each) for each in override.sweep_iterator()]
    numbers = all(isinstance(each, (int, float)) for each in options)
    if isinstance(value, RangeSweep) and not value.shuffle and numbers and len(options) > 1:
        step = options[1] - options[0]
        is_int = all(isinstance(each, int) for each in options)
        stepped = {} if is_int and step == 1 else {"step": step}
        return (
            {"int" if is_int else "float": [options[0], options[-1]], **stepped}
            if step > 0
            else _choice(options)
        )
    return _choice(options)


def _choice(options: list[Any]) -> dict[str, Any]:
    return {"choice": options}


def _option(value: Any) -> Any:
    """Return an element of a choice as a plain value."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_option(each) for each in value]
    if isinstance(value, dict):
        return {_option(key): _option(each) for key, each in value.items()}
    return value


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _metrics(objective: Any) -> list[str]:
    parts = objective if isinstance(objective, list) else [objective]
    return [str(part["metric"]) if isinstance(part, Mapping) else str(part) for part in parts]


def _app() -> list[str]:
    """Return the words that start the app again."""
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:  # python -m package.app
        return ["python", "-m", spec.name.removesuffix(".__main__")]
    return ["python", os.path.relpath(str(main.__file__))]


def _config_flags(arguments: Sequence[str]) -> list[str]:
    """Return Hydra's flags for the configuration, which are no overrides."""
    flags = {"--config-name": "-cn", "--config-path": "-cp", "--config-dir": "-cd"}
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag, short in flags.items():
        parser.add_argument(flag, short)
    found, _ = parser.parse_known_args(arguments)
    given = {flag: getattr(found, flag.strip("-").replace("-", "_")) for flag in flags}
    return [word for flag, value in given.items() if value is not None for word in (flag, value)]


def _literal(word: str) -> str:
    """Return a word of a command that has no placeholder."""
    return word.replace("{", "{{").replace("}", "}}")
