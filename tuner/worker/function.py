"""``as_trainable``: wraps a function of ``config`` in a class that a worker can train step by step.

The function runs in a thread of Ray Tune's session, so ``ray.tune.report``, ``get_checkpoint`` and
``get_context`` work in it. Unlike in Ray 2.60, it may return any number, exit, or raise any exception.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray.train
import ray.tune
from ray.tune.result import RESULT_DUPLICATE
from ray.tune.trainable import FunctionTrainable, wrap_function

from tuner import client
from tuner.code.functions import OptunaObjective
from tuner.code.nesting import NESTED, nest
from tuner.contract import ShowsConfiguration, StopsSlowly
from tuner.errors import TrialError
from tuner.ray_internals.tune import TrainingResult, get_session, in_tune_session
from tuner.worker import results as guard
from tuner.worker.channel import Channel
from tuner.worker.session import InProcess, Session, Stopped
from tuner.worker.tasks import QUESTION, Answer, Question

_channel: Channel | None = None
"""The socket of this process, once a function has run in it."""


class _Function(FunctionTrainable):
    function: Callable[[dict[str, Any]], Any]
    metrics: Sequence[str]
    modes: Sequence[str]

    def setup(self, config: dict[str, Any]) -> None:
        global _channel
        super().setup(config)
        session = get_session()
        session.__class__ = Session
        session.begin(self.metrics, self.modes)
        function = type(self).function
        shown = config
        if isinstance(function, ShowsConfiguration):
            shown = nest(function.visible(config)) if config.get(NESTED) else function.visible(config)
        self._in_process = trial = InProcess(session, shown)
        self.seconds_to_stop = function.seconds_to_stop(config) if isinstance(function, StopsSlowly) else 0.0
        client.connect(trial)
        if _channel is None:
            _channel = Channel()
        _channel.serve(session, trial)
        os.environ[client.ADDRESS] = _channel.address  # for the processes that the function starts

    def step(self) -> dict[str, Any]:
        result: dict[str, Any] = super().step()
        if QUESTION in result:
            raise Question(**result[QUESTION])
        if get_session().can_save:
            result[guard.SAVEABLE] = True
        return result

    def take_answer(self, answer: Answer) -> None:
        """Give the function, which waits for it, the driver's answer to its question."""
        get_session().answer = answer

    def save_checkpoint(self, checkpoint_dir: str | None = None) -> TrainingResult:
        result = super().save_checkpoint(checkpoint_dir)
        session = get_session()
        if result.checkpoint is None and session.can_save:
            session.save_offered(result)
        return result

    def cleanup(self) -> None:
        session = get_session()
        session.end()
        try:
            super().cleanup()
        finally:
            if not session.training_started:
                client.disconnect(self._in_process)
            if _channel is not None:
                _channel.close()

    def _trainable_func(self, config: dict[str, Any]) -> None:
        session = get_session()
        last: dict[str, Any] = {RESULT_DUPLICATE: True}
        try:
            if isinstance(function := type(self).function, OptunaObjective):
                from tuner.worker.optuna_trial import run_objective  # imports Optuna

                last |= run_objective(function, session, self._in_process)
            else:
                self._run(config, session)
        except Stopped:
            return
        except SystemExit as error:
            if error.code not in (None, 0):
                session.error_queue.put(error)
                return
        except BaseException as error:
            session.error_queue.put(error)
            return
        finally:
            client.disconnect(self._in_process)
        session.report(last)

    def _run(self, config: dict[str, Any], session: Session) -> None:
        function = type(self).function
        if inspect.isgeneratorfunction(function):
            for output in function(config):
                self._report(output, session)
        else:
            self._report(function(config), session)

    def _report(self, output: Any, session: Session) -> None:
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
    function: Callable[[dict[str, Any]], Any], metrics: Sequence[str], modes: Sequence[str]
) -> type[FunctionTrainable]:
    """Return a class whose trials run ``function``, which may return only the values of ``metrics``.

    ``modes``: ``min`` or ``max`` for each metric.
    """
    _let_train_report()
    parts = {"function": staticmethod(function), "metrics": tuple(metrics), "modes": tuple(modes)}
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
