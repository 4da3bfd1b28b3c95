"""``as_trainable``: wraps a function of ``config`` in a class that a worker can train step by step.

The function runs in a thread of Ray Tune's session, so ``ray.tune.report``, ``get_checkpoint`` and
``get_context`` work in it. Unlike in Ray 2.60, it may return any number, exit, or raise any exception.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray.train
import ray.tune
from ray.tune.result import RESULT_DUPLICATE
from ray.tune.trainable import FunctionTrainable, wrap_function

from tuner.errors import TrialError
from tuner.ray_internals.tune import TrainSession, get_session, in_tune_session
from tuner.spec import describe
from tuner.worker import results as guard

FOLDERS = "trials"
"""The folder for files that trials write, with a subfolder for each trial."""


class _Stopped(SystemExit):
    """Raised by a function's next report after its trial was stopped."""


class _Session(TrainSession):
    """Ray's session of one function. It also accepts NumPy and PyTorch scalars as numbers."""

    objectives: Sequence[str] = ()

    def report(self, metrics: Any, checkpoint: Any = None) -> None:
        if not isinstance(metrics, Mapping):
            raise TypeError(f"tune.report takes a mapping of metrics, got {describe(metrics)}")
        sent = {name: value for name, value in guard.flat(metrics).items() if guard.is_kept(value)}
        # Ray refuses tensors. We send the description of a bad objective, for the trial's error message.
        unsent = [name for name in self.objectives if name in metrics and name not in sent]
        described = {name: guard.Shown(describe(metrics[name])) for name in unsent}
        super().report({**sent, **described}, checkpoint)

    @property
    def trial_dir(self) -> str:
        """The folder for the trial's own files. The first access creates it."""
        path = Path(self.storage.experiment_fs_path).parent / FOLDERS / self.trial_info.id
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def _report_training_result(self, training_result: Any) -> None:
        try:
            super()._report_training_result(training_result)
        except SystemExit:
            raise _Stopped(0) from None

    def _report_thread_runner_error(self, block: bool = False) -> None:
        # Ray would copy the error into its own exceptions, which loses the text of some errors.
        if not self.error_queue.empty():
            raise self.error_queue.get()


class _Function(FunctionTrainable):
    function: Callable[[dict[str, Any]], Any]
    metrics: Sequence[str]

    def setup(self, config: dict[str, Any]) -> None:
        super().setup(config)
        session = get_session()
        session.__class__ = _Session
        session.objectives = self.metrics

    def _trainable_func(self, config: dict[str, Any]) -> None:
        session = get_session()
        try:
            self._run(config, session)
        except _Stopped:
            return
        except SystemExit as error:
            if error.code not in (None, 0):
                session.error_queue.put(error)
                return
        except BaseException as error:
            session.error_queue.put(error)
            return
        session.report({RESULT_DUPLICATE: True})

    def _run(self, config: dict[str, Any], session: _Session) -> None:
        function = type(self).function
        if inspect.isgeneratorfunction(function):
            for output in function(config):
                self._report(output, session)
        else:
            self._report(function(config), session)

    def _report(self, output: Any, session: _Session) -> None:
        """Report the function's output: a mapping of metrics, or only the values of the objectives."""
        if output is None:
            return
        if not isinstance(output, Mapping):
            values = output if isinstance(output, (tuple, list)) else (output,)
            if len(values) != len(self.metrics) or not all(map(guard.is_number, values)):
                wanted = "a number" if len(self.metrics) == 1 else f"{len(self.metrics)} numbers"
                raise TrialError(
                    f"the function must return {wanted}, metrics by name, or nothing, got {output!r}"
                )
            output = dict(zip(self.metrics, values, strict=True))
        session.report(output)


def as_trainable(
    function: Callable[[dict[str, Any]], Any], metrics: Sequence[str]
) -> type[FunctionTrainable]:
    """Return a class whose trials run ``function``, which may return only the values of ``metrics``."""
    _let_train_report()
    parts = {"function": staticmethod(function), "metrics": tuple(metrics)}
    return type(getattr(function, "__name__", "function"), (_Function, wrap_function(function)), parts)


def _let_train_report() -> None:
    """Make functions of ``ray.train`` call their ``ray.tune`` counterparts in a trial's thread.

    Scripts for earlier Ray 2.x releases call ``ray.train`` there, and Ray 2.60 raises an error.
    """
    for name in ("report", "get_checkpoint", "get_context"):
        train_function, tune_function = getattr(ray.train, name), getattr(ray.tune, name)
        if not hasattr(train_function, "tune_function"):
            setattr(ray.train, name, _dispatch(train_function, tune_function))


def _dispatch(train_function: Callable[..., Any], tune_function: Callable[..., Any]) -> Callable[..., Any]:
    def dispatch(*arguments: Any, **options: Any) -> Any:
        return (tune_function if in_tune_session() else train_function)(*arguments, **options)

    dispatch.tune_function = tune_function  # type: ignore[attr-defined]
    return dispatch


def session_thread() -> threading.Thread | None:
    """Return the thread in which this process's function runs; ``None`` if there is none."""
    session = get_session()
    return session.training_thread if session is not None and session.training_started else None
