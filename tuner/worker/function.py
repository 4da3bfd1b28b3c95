"""``as_trainable``: a function of ``config`` as a class that the worker drives result by result.

The function runs in a thread of Ray Tune's session, so ``ray.tune.report``, ``get_checkpoint`` and
``get_context`` work in it. Beyond Ray 2.60 it may return any number, exit, or raise whatever it likes.
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
from tuner.ray_internals import TrainSession, get_session, in_tune_session
from tuner.spec import describe
from tuner.worker import results as guard

FOLDERS = "trials"
"""The folder in a results folder with what trials write themselves, in a folder for each."""


class _Stopped(SystemExit):
    """Raised in a function by its next report after the trial was stopped."""


class _Session(TrainSession):
    """Ray's session of one function, made to take what a user would call a number."""

    objectives: Sequence[str] = ()

    def report(self, metrics: Any, checkpoint: Any = None) -> None:
        if not isinstance(metrics, Mapping):
            raise TypeError(f"tune.report takes a mapping of metrics, got {describe(metrics)}")
        sent = {name: value for name, value in guard.flat(metrics).items() if guard.is_kept(value)}
        # Ray refuses tensors wherever they are; a value that does not count is named in the trial's error.
        unsent = [name for name in self.objectives if name in metrics and name not in sent]
        odd = {name: guard.Shown(describe(metrics[name])) for name in unsent}
        super().report({**sent, **odd}, checkpoint)

    @property
    def trial_dir(self) -> str:
        """A folder for the trial's own files, made when it is first asked for."""
        path = Path(self.storage.experiment_fs_path).parent / FOLDERS / self.trial_info.id
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def _report_training_result(self, training_result: Any) -> None:
        try:
            super()._report_training_result(training_result)
        except SystemExit:
            raise _Stopped(0) from None

    def _report_thread_runner_error(self, block: bool = False) -> None:
        # Ray wraps the error in exceptions of its own, and copies it, which loses the text of some.
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
        """Report what the function returned or yielded: metrics, or the values of the objectives alone."""
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
    """A class whose trials run ``function``. A returned number is the value of the one of ``metrics``."""
    _let_train_report()
    parts = {"function": staticmethod(function), "metrics": tuple(metrics)}
    return type(getattr(function, "__name__", "function"), (_Function, wrap_function(function)), parts)


def _let_train_report() -> None:
    """Let ``ray.train``'s functions stand for those of ``ray.tune`` in a trial's own thread.

    Ray 2.60 raises there, though many a script written for Ray 2.x calls them.
    """
    for name in ("report", "get_checkpoint", "get_context"):
        of_train, of_tune = getattr(ray.train, name), getattr(ray.tune, name)
        if not hasattr(of_train, "of_tune"):
            setattr(ray.train, name, _either(of_train, of_tune))


def _either(of_train: Callable[..., Any], of_tune: Callable[..., Any]) -> Callable[..., Any]:
    def either(*arguments: Any, **options: Any) -> Any:
        return (of_tune if in_tune_session() else of_train)(*arguments, **options)

    either.of_tune = of_tune  # type: ignore[attr-defined]
    return either


def session_thread() -> threading.Thread | None:
    """The thread in which this process's function runs; ``None``: there is none."""
    session = get_session()
    return session.training_thread if session is not None and session.training_started else None
