"""Functions that a training script calls while it runs as a trial.

They work in a function, in a script (``kind: command``), and in the processes that either starts. Outside a
sweep, ``config`` returns its defaults and ``report`` does nothing, so the same script runs alone.

This file imports only the standard library and runs on Python 3.9, so scripts in other environments can
copy it. ``python -m tuner.client --help`` offers the same functions to shell scripts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Union

ADDRESS = "TUNER_TRIAL"
"""The environment variable with the path of the trial's Unix socket.

A connection carries one JSON object per line. Requests have a key ``op``: ``trial``, ``report``,
``stopping`` or ``folder``. Docs: "Scripts in any language".
"""

CheckpointLike = Union["str", "os.PathLike[str]", Callable[[str], Any], None]
"""A folder with a checkpoint, or a function that writes one into an empty folder."""
_STATE = "tuner-state"  # the stem of the file that ``report`` writes for ``model`` and the like
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")  # a process's number among those of its trial
# Hyperparameter -> key of a PyTorch optimizer's ``param_groups``.
_NAMES = {"lr": "lr", "learning_rate": "lr", "momentum": "momentum", "weight_decay": "weight_decay"}


class TrialFailed(Exception):
    """Fails the trial, with its text as the error and without a traceback."""


class CurrentTrial(Protocol):
    """A trial, as this process reaches it."""

    def about(self) -> Mapping[str, Any]:
        """See ``about``."""

    def report(self, metrics: Mapping[str, Any], checkpoint: CheckpointLike, rank: int) -> None:
        """Report a result and wait until the trial may continue. Raises SystemExit if it must end."""

    def folder(self) -> str:
        """See ``folder``."""

    def should_stop(self) -> bool:
        """Return whether the trial must end. Afterwards ``report`` returns instead of raising SystemExit."""


def config(defaults: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the trial's configuration: its hyperparameters, constants and ``seed``.

    ``defaults`` and ``more`` are values for names that it lacks. Outside a sweep they are the result.
    """
    trial = _trial()
    return {**(defaults or {}), **more, **({} if trial is None else trial.about()["config"])}


def report(
    metrics: Mapping[str, Any],
    *,
    step: int | None = None,
    checkpoint: CheckpointLike = None,
    **state: Any,
) -> None:
    """Report a result, and wait until the trial may continue.

    - ``metrics``: numbers by name, with every metric of the objective.
    - ``step``: recorded as the metric ``step``.
    - ``checkpoint``: a folder from which the trial can continue, or a function that writes one into the empty
      folder that it gets. It is copied, or called, only if a checkpoint is due, before ``report`` returns.
    - ``state``: objects with ``state_dict`` and other values, such as ``model=model, epoch=3``. They are
      written only if a checkpoint is due, with the random states. ``restore`` reads them.

    Only rank 0 reports. In other processes of the trial the call waits until rank 0 has done so.

    If the trial must end, the call raises SystemExit; if ``should_stop`` was called before, it returns.
    Outside a sweep it does nothing. Raises TypeError or ValueError for arguments that cannot be reported.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"report takes a mapping of metrics, got {metrics!r}")
    if checkpoint is not None and state:
        raise ValueError(f"give report a checkpoint or {', '.join(state)}, not both")
    if (trial := _trial()) is None:
        return
    if state:
        checkpoint = _writer(state)
    trial.report(metrics if step is None else {**metrics, "step": step}, checkpoint, _rank())


def about() -> dict[str, Any]:
    """Return facts about the trial; ``{}`` outside a sweep.

    - ``trial``, ``config``: its number as text, and its configuration.
    - ``metrics``: the metrics of the objective.
    - ``checkpoint``: the folder to continue from, or ``None``.
    - ``reports``: how many results it has reported since it was last started.
    """
    trial = _trial()
    return {} if trial is None else dict(trial.about())


def checkpoint() -> str | None:
    """Return the folder with the checkpoint to continue from, or ``None``. Do not change the folder."""
    trial = _trial()
    found = None if trial is None else trial.about()["checkpoint"]
    return None if found is None else str(found)


def folder() -> str:
    """Return a folder for the trial's own files. It is kept in the results.

    Outside a sweep this is the current folder.
    """
    trial = _trial()
    return os.getcwd() if trial is None else trial.folder()


def should_stop() -> bool:
    """Return whether the trial must end. Outside a sweep it never must.

    Once a script has called this, ``report`` does not end it any more: the script ends itself.
    """
    trial = _trial()
    return trial is not None and trial.should_stop()


def restore(**objects: Any) -> dict[str, Any]:
    """Load the checkpoint that ``report(..., model=model, ...)`` wrote, if there is one to continue from.

    Each object gets its state by ``load_state_dict``, and so do the random generators. Optimizers get those
    hyperparameters of the trial that differ from the checkpoint's, see ``apply_config``.

    Returns the saved values that are not given here, such as ``{"epoch": 3}``; ``{}`` without a checkpoint.
    Raises ValueError if an object has no saved state, or a saved state has no object.
    """
    if (folder := checkpoint()) is None:
        return {}
    objects = {name: each for name, each in objects.items() if each is not None}
    saved = _read_state(Path(folder))
    if saved["objects"].keys() != objects.keys():
        raise ValueError(f"restore must be given the saved {list(saved['objects'])}, got {list(objects)}")
    for name, each in objects.items():
        each.load_state_dict(saved["objects"][name])
    inner = (getattr(each, "scheduler", each) for each in objects.values())  # Accelerate wraps objects
    schedulers = [each for each in inner if hasattr(each, "base_lrs")]
    differs = {n: value for n, value in config().items() if saved.get("config", {}).get(n) != value}
    for each in objects.values():
        if hasattr(each, "param_groups"):
            own = [each, getattr(each, "optimizer", each)]
            apply_config(differs, each, [s for s in schedulers if getattr(s, "optimizer", each) in own])
    set_random_states(saved["random"])
    return dict(saved["values"])


def apply_config(config: Mapping[str, Any], optimizer: Any, schedulers: Iterable[Any] = ()) -> None:
    """Set a restored optimizer to the trial's own hyperparameters.

    A checkpoint holds the optimizer of the trial that wrote it. With ``scheduler: pbt`` this is often another
    trial with other hyperparameters. Call this function after each restore.

    - ``config``: the trial's configuration. Reads ``lr`` (or ``learning_rate``), ``momentum``,
      ``weight_decay``, ``beta1`` and ``beta2``, and sets those that the optimizer has.
    - ``optimizer``: an optimizer with ``param_groups``, as in PyTorch.
    - ``schedulers``: its learning-rate schedulers. They keep their progress, which is the factor by which
      they have changed the initial learning rate.
    """
    schedulers = list(schedulers)
    for group in optimizer.param_groups:
        for name, own in _NAMES.items():
            if name not in config or own not in group:
                continue
            if own == "lr" and schedulers and group.get("initial_lr"):
                group["lr"] = group["lr"] / group["initial_lr"] * config[name]
                group["initial_lr"] = config[name]
            else:
                group[own] = config[name]
        if "betas" in group:
            beta1, beta2 = group["betas"]
            group["betas"] = (config.get("beta1", beta1), config.get("beta2", beta2))
    initial = config.get("lr", config.get("learning_rate"))
    for scheduler in schedulers:
        if initial is not None and hasattr(scheduler, "base_lrs"):
            scheduler.base_lrs = [initial] * len(scheduler.base_lrs)


def connect(trial: CurrentTrial) -> None:
    """Set the trial of this process. Only tuner calls this."""
    global _in_process
    _in_process = os.getpid(), trial


def disconnect(trial: CurrentTrial) -> None:
    """Undo ``connect``, unless another trial has been set since. Only tuner calls this."""
    global _in_process
    _in_process = None if _in_process is not None and _in_process[1] is trial else _in_process


_in_process: tuple[int, CurrentTrial] | None = None
_connection: tuple[int, str, _Remote] | None = None
_opening = threading.Lock()


def _trial() -> CurrentTrial | None:
    global _connection
    if _in_process is not None and _in_process[0] == os.getpid():
        return _in_process[1]
    if not (address := os.environ.get(ADDRESS)):
        return None
    with _opening:
        # A forked process inherits its parent's connection but must not use it.
        if _connection is None or _connection[:2] != (os.getpid(), address):
            _connection = (os.getpid(), address, _Remote(address))
        return _connection[2]


class _Remote:
    """A trial in another process, reached by its socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(address)
        except OSError as error:
            raise RuntimeError(f"the trial's socket {address} cannot be reached: {error}") from None
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()
        self._asks = False
        self._must_stop = False
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._handle)  # lets a stopped script run its `finally` clauses

    def about(self) -> Mapping[str, Any]:
        return self._ask({"op": "trial"})

    def folder(self) -> str:
        return str(self._ask({"op": "folder"})["folder"])

    def report(self, metrics: Mapping[str, Any], checkpoint: CheckpointLike, rank: int) -> None:
        function = checkpoint if callable(checkpoint) else None
        folder = None if checkpoint is None or function else os.path.abspath(os.fspath(checkpoint))  # type: ignore[arg-type]
        request = {"op": "report", "metrics": _plain(metrics), "checkpoint": folder, "rank": rank}
        answer = self._ask({**request, "offers": function is not None}, save=function)
        self._must_stop = self._must_stop or bool(answer["stop"])
        if self._must_stop and not self._asks:
            raise SystemExit(0)

    def should_stop(self) -> bool:
        self._asks = True
        return self._must_stop or bool(self._ask({"op": "stopping"})["stop"])

    def _ask(self, request: Mapping[str, Any], save: Callable[[str], Any] | None = None) -> dict[str, Any]:
        with self._lock:
            self._send(request)
            while True:
                line = self._lines.readline()
                if not line:
                    raise SystemExit(0)  # the trial's worker ended, so the trial ended too
                answer: dict[str, Any] = json.loads(line)
                if "error" in answer:
                    raise ValueError(answer["error"])
                if "save" not in answer:
                    return answer
                assert save is not None
                try:
                    save(answer["save"])
                except BaseException as error:
                    self._send({"op": "saved", "error": f"{type(error).__name__}: {error}"})
                    raise
                self._send({"op": "saved"})

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._socket.sendall((json.dumps(message) + "\n").encode())
        except OSError:
            raise SystemExit(0) from None

    def _handle(self, number: int, frame: Any) -> None:
        self._must_stop = True
        if not self._asks:
            raise SystemExit(128 + number)


def _plain(value: Any) -> Any:
    """Return a metric's value as JSON can write it. Other values than numbers and text become their repr."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if hasattr(value, "item") and all(length == 1 for length in getattr(value, "shape", ())):
        value = value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _rank() -> int:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    return next((int(os.environ[name]) for name in _RANKS if os.environ.get(name, "").isdigit()), 0)


def _writer(state: Mapping[str, Any]) -> Callable[[str], None]:
    objects = {name: each for name, each in state.items() if hasattr(each, "state_dict")}
    values = {name: each for name, each in state.items() if name not in objects and each is not None}
    # Now, since no other request can be sent while the worker waits for the checkpoint.
    numbers = {name: value for name, value in config().items() if isinstance(value, (int, float))}

    def write(folder: str) -> None:
        states = {name: each.state_dict() for name, each in objects.items()}
        content = {"objects": states, "values": values, "random": random_states(), "config": numbers}
        if "torch" in sys.modules:
            sys.modules["torch"].save(content, Path(folder, f"{_STATE}.pt"))
        else:
            Path(folder, f"{_STATE}.json").write_text(json.dumps(content), encoding="utf-8")

    return write


def _read_state(folder: Path) -> dict[str, Any]:
    if (path := folder / f"{_STATE}.json").exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    if not (path := folder / f"{_STATE}.pt").exists():
        raise ValueError(f"restore reads what report(..., model=model) saved; {folder} has no {path.name}")
    torch = importlib.import_module("torch")
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def random_states() -> dict[str, Any]:
    """Return the states of the random generators of Python, NumPy and PyTorch: plain values, tensors."""
    version, numbers, gauss = random.getstate()
    states: dict[str, Any] = {"python": [version, list(numbers), gauss]}
    if "numpy" in sys.modules:
        name, keys, position, has_gauss, gauss = sys.modules["numpy"].random.get_state()
        states["numpy"] = [name, [int(key) for key in keys], int(position), int(has_gauss), float(gauss)]
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_random_states(states: Mapping[str, Any]) -> None:
    """Restore what ``random_states`` returned, for the libraries that are imported."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    if "numpy" in states and "numpy" in sys.modules:
        name, keys, *rest = states["numpy"]
        sys.modules["numpy"].random.set_state((name, keys, *rest))
    if (torch := sys.modules.get("torch")) is not None and "torch" in states:
        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.device_count() == len(states["cuda"]):
            torch.cuda.set_rng_state_all(states["cuda"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Call the functions of this module from a shell script. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tuner.client", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("config", help="print the configuration as JSON, or the value of NAME")
    one.add_argument("name", nargs="?", metavar="NAME")
    one.add_argument("default", nargs="?", metavar="DEFAULT", help="printed if there is no such value")
    result = verbs.add_parser("report", help="report a result; exit code 3 means that the trial must end")
    result.add_argument("metrics", nargs="+", metavar="NAME=NUMBER")
    result.add_argument("--step", type=int)
    result.add_argument("--checkpoint", metavar="DIR", help="a folder from which the trial can continue")
    verbs.add_parser("checkpoint", help="print the folder to continue from, or nothing")
    options = parser.parse_args(arguments)
    if options.verb == "config":
        value = config() if options.name is None else config().get(options.name, options.default)
        if value is None:
            parser.error(f"the configuration has no '{options.name}'")
        print(value if isinstance(value, str) else json.dumps(value))
    elif options.verb == "checkpoint":
        print(checkpoint() or "", end="")
    else:
        stops = should_stop()  # from now on, `report` returns
        report(dict(map(_pair, options.metrics)), step=options.step, checkpoint=options.checkpoint)
        return 3 if stops or should_stop() else 0
    return 0


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise SystemExit(f"a metric must be NAME=NUMBER, got '{text}'") from None


if __name__ == "__main__":
    sys.exit(main())
