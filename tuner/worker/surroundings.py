"""``Surroundings``: restores the global state of a process, so that no trial affects the next one.

A process whose state cannot be restored is unfit for other trials, and a new process replaces it.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_SECONDS_TO_FINISH = 60.0
"""The time that an experiment tracker gets to send its data."""


class Surroundings:
    """A snapshot of the global state of this process."""

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._environment = dict(os.environ)
        self._path = list(sys.path)
        self._arguments = list(sys.argv)
        self.take_streams()
        root = logging.getLogger()
        self._logging = list(root.handlers), root.level, logging.root.manager.disable
        self._warnings = list(warnings.filters)
        self._numpy = np.geterr()
        self._timeout = socket.getdefaulttimeout()
        self._start_method = multiprocessing.get_start_method(allow_none=True)
        torch = sys.modules.get("torch")
        self._torch = None if torch is None else _torch_state(torch)
        self._interop_threads = None if torch is None else torch.get_num_interop_threads()

    def take_streams(self) -> None:
        """Update the snapshot of the standard streams."""
        self._streams = sys.stdin, sys.stdout, sys.stderr

    def restore(self) -> str | None:
        """Restore the state. Return why the process is unfit for other trials; ``None`` if it is fit."""
        os.chdir(self._folder)
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update(self._environment)
        sys.path[:] = self._path
        sys.argv[:] = self._arguments
        sys.stdin, sys.stdout, sys.stderr = self._streams
        self._restore_logging()
        if warnings.filters != self._warnings:
            warnings.filters[:] = self._warnings  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined]
        np.seterr(**self._numpy)
        socket.setdefaulttimeout(self._timeout)
        if multiprocessing.get_start_method(allow_none=True) != self._start_method:
            multiprocessing.set_start_method(self._start_method, force=True)
        left = [reset(sys.modules[name]) for name, reset in _RESETS.items() if name in sys.modules]
        torch = sys.modules.get("torch")
        if torch is not None:
            left.append(self._restore_torch(torch))
        return next((each for each in left if each is not None), None)

    def _restore_logging(self) -> None:
        handlers, level, disabled = self._logging
        root = logging.getLogger()
        if root.handlers != handlers:
            for handler in [each for each in root.handlers if each not in handlers]:
                root.removeHandler(handler)
                handler.close()
            root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)

    def _restore_torch(self, torch: Any) -> str | None:
        now = _torch_state(torch)
        # If a trial was the first to import PyTorch, the state before was PyTorch's initial one.
        before = self._torch if self._torch is not None else {**now, **_initial_torch_state(torch)}
        for name, value in before.items():
            if now[name] != value:
                _TORCH[name][1](torch, value)
        if self._interop_threads not in (None, torch.get_num_interop_threads()):
            return "torch.set_num_interop_threads was called, which works only once in a process"
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return "a process group of torch.distributed was not destroyed"
        return None


def _cudnn(name: str) -> tuple[Callable[[Any], Any], Callable[[Any, Any], None]]:
    return (
        lambda torch: getattr(torch.backends.cudnn, name),
        lambda torch, value: setattr(torch.backends.cudnn, name, value),
    )


# Global state of PyTorch in a process or thread: a function that reads it, and one that sets it.
_TORCH: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "dtype": (lambda torch: torch.get_default_dtype(), lambda torch, value: torch.set_default_dtype(value)),
    "device": (
        lambda torch: torch.get_default_device(),
        lambda torch, value: torch.set_default_device(value),
    ),
    "threads": (lambda torch: torch.get_num_threads(), lambda torch, value: torch.set_num_threads(value)),
    "grad": (lambda torch: torch.is_grad_enabled(), lambda torch, value: torch.set_grad_enabled(value)),
    "anomaly": (
        lambda torch: torch.is_anomaly_enabled(),
        lambda torch, value: torch.autograd.set_detect_anomaly(value),
    ),
    "precision": (
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, value: torch.set_float32_matmul_precision(value),
    ),
    "deterministic": (
        lambda torch: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda torch, value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
    "benchmark": _cudnn("benchmark"),
    "cudnn_deterministic": _cudnn("deterministic"),
    "cudnn_tf32": _cudnn("allow_tf32"),
}


def _torch_state(torch: Any) -> dict[str, Any]:
    return {name: read(torch) for name, (read, _) in _TORCH.items()}


def _initial_torch_state(torch: Any) -> dict[str, Any]:
    """Return PyTorch's initial state, except the number of threads, which depends on the machine."""
    return {
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "grad": True,
        "anomaly": False,
        "precision": "highest",
        "deterministic": (False, False),
        "benchmark": False,
        "cudnn_deterministic": False,
        "cudnn_tf32": True,
    }


def _finish_wandb(wandb: Any) -> str | None:
    return None if getattr(wandb, "run", None) is None else _finish_run("wandb", wandb.finish)


def _finish_mlflow(mlflow: Any) -> str | None:
    while mlflow.active_run() is not None:
        if (left := _finish_run("mlflow", mlflow.end_run)) is not None:
            return left
    return None


def _finish_run(name: str, finish: Callable[[], Any]) -> str | None:
    """End a tracker's run, as the end of the process would do. Return a fault; ``None`` if it ended."""
    ended = threading.Event()

    def end() -> None:
        finish()
        ended.set()

    # A thread, since the call may wait for a server. If it raises, Python prints the error, and ``ended``
    # stays unset.
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_FINISH)
    return None if ended.is_set() else f"a run of {name} did not end"


def _reset_accelerate(state: Any) -> str | None:
    state.AcceleratorState._reset_state(reset_partial_state=True)
    state.GradientState._reset_state()
    return None


def _reset_keras(keras: Any) -> str | None:
    home = os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))
    path = os.path.join(home, "keras.json")
    settings = json.loads(Path(path).read_text(encoding="utf-8")) if os.path.exists(path) else {}
    keras.config.set_floatx(settings.get("floatx", "float32"))
    keras.config.set_dtype_policy(keras.config.floatx())
    keras.config.enable_traceback_filtering()
    return None


def _reset_hydra(hydra: Any) -> str | None:
    hydra.GlobalHydra.instance().clear()
    return None


def _close_figures(pyplot: Any) -> str | None:
    pyplot.close("all")
    return None


_RESETS: dict[str, Callable[[Any], str | None]] = {
    "wandb": _finish_wandb,
    "mlflow": _finish_mlflow,
    "accelerate.state": _reset_accelerate,
    "keras": _reset_keras,
    "hydra.core.global_hydra": _reset_hydra,
    "matplotlib.pyplot": _close_figures,
}
"""Maps a module to the function that resets its state, if a trial has imported it."""
