"""``Session``: a running function and its reports. ``tuner.client`` and ``ray.tune.report`` both use it."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray.tune

from tuner.ray_internals.tune import TrainingResult, TrainSession
from tuner.spec import describe
from tuner.worker import results as guard
from tuner.worker.tasks import QUESTION, Answer

FOLDERS = "trials"
"""The folder for files that trials write, with a subfolder for each trial."""

Offer = Callable[[str], str]
"""Writes a checkpoint, into the empty folder that it gets or elsewhere, and returns its folder."""


class Stopped(SystemExit):
    """Raised by a function's next report after its trial was stopped."""


class Session(TrainSession):
    """Ray's session of one function.

    It also accepts NumPy and PyTorch scalars as numbers, and checkpoints that are written only when due.
    Reports may come from any thread of the process.
    """

    def begin(self, objectives: Sequence[str], modes: Sequence[str]) -> None:
        """Prepare for a function with these objectives. Ray created this object with another class."""
        self.objectives = objectives
        self.modes = modes
        self.stopping = threading.Event()  # set when the trial must end
        self.returns_when_stopped = False
        self.answer: Answer | None = None  # to the last question
        self._offer: Offer | None = None
        self._saving: _Saving | None = None
        self._reporting = threading.Lock()
        self._answered = threading.Condition()
        self.reports = 0  # the number of answered reports
        self._opened = contextlib.ExitStack()
        self._restored: str | None = None

    @property
    def trial_dir(self) -> str:
        """The folder for the trial's own files. The first access creates it."""
        path = Path(self.storage.experiment_fs_path).parent / FOLDERS / self.trial_info.id
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    @property
    def can_save(self) -> bool:
        """Whether the function, which waits in a report, can write a checkpoint now."""
        return self._offer is not None

    def restored_from(self) -> str | None:
        """Return the local folder with the checkpoint to continue from; ``None`` if the trial is new."""
        if self._restored is None and self.loaded_checkpoint is not None:
            self._restored = self._opened.enter_context(self.loaded_checkpoint.as_directory())
        return self._restored

    def report(self, metrics: Any, checkpoint: Any = None, *, offer: Offer | None = None) -> None:
        """Report a result and wait until the trial may continue. Raises Stopped if it must end.

        ``offer`` writes a checkpoint if one is due. It is called before this method returns.
        """
        if not isinstance(metrics, Mapping):
            raise TypeError(f"tune.report takes a mapping of metrics, got {describe(metrics)}")
        sent = {name: value for name, value in guard.flat(metrics).items() if guard.is_kept(value)}
        # Ray refuses tensors. We send the description of a bad objective, for the trial's error message.
        unsent = [name for name in self.objectives if name in metrics and name not in sent]
        described = {name: guard.Shown(describe(metrics[name])) for name in unsent}
        self.restored_from()  # Ray replaces ``loaded_checkpoint`` by the checkpoints that are reported
        with self._reporting:
            if not self.stopping.is_set():
                self._offer = offer
                super().report({**sent, **described}, checkpoint)
        with self._answered:
            self.reports += 1
            self._answered.notify_all()
        if self.stopping.is_set() and not self.returns_when_stopped:
            raise Stopped(0)

    def ask(self, name: str, dimension: dict[str, Any]) -> Answer:
        """Ask the driver for the value of a hyperparameter. Raises Stopped if the trial must end."""
        with self._reporting:
            if not self.stopping.is_set():
                question = {QUESTION: {"name": name, "dimension": dimension}}
                self._report_training_result(TrainingResult(checkpoint=None, metrics=question))
        if self.stopping.is_set() or self.answer is None:
            raise Stopped(0)
        return self.answer

    def await_report(self, number: int) -> bool:
        """Wait until ``number`` reports have been answered. Return whether the trial must end."""
        with self._answered:
            self._answered.wait_for(lambda: self.reports >= number or self.stopping.is_set())
        return self.stopping.is_set()

    def follow(self, number: int) -> None:
        """Wait until ``number`` reports have been answered. Raises Stopped if the trial must end."""
        if self.await_report(number) and not self.returns_when_stopped:
            raise Stopped(0)

    def save_offered(self, result: TrainingResult) -> None:
        """Let the waiting function write the checkpoint of its last result, and add it to the result.

        Raises the error of the function that writes it.
        """
        with tempfile.TemporaryDirectory(prefix="tuner-checkpoint-") as folder:
            saving = self._saving = _Saving(folder)
            self.continue_lock.release()
            saving.done.wait()
            if saving.error is not None:
                raise saving.error
            self.storage._update_checkpoint_index(result.metrics)
            checkpoint = ray.tune.Checkpoint.from_directory(saving.folder)
            result.checkpoint = self.storage.persist_current_checkpoint(checkpoint)
        result.metrics["checkpoint_dir_name"] = self.storage.checkpoint_dir_name
        self.loaded_checkpoint = result.checkpoint

    def end(self) -> None:
        """Let waiting reports return."""
        self.stopping.set()
        with self._answered:
            self._answered.notify_all()
        self._opened.close()

    def _report_training_result(self, training_result: TrainingResult) -> None:
        if training_result.checkpoint:
            self.loaded_checkpoint = training_result.checkpoint
        self.result_queue.put(training_result)
        self.continue_lock.acquire()
        while (saving := self._saving) is not None:
            self._saving = None
            assert self._offer is not None
            saving.carry_out(self._offer)
            self.continue_lock.acquire()
        self._offer = None

    def _report_thread_runner_error(self, block: bool = False) -> None:
        # Ray would copy the error into its own exceptions, which loses the text of some errors.
        if not self.error_queue.empty():
            raise self.error_queue.get()


class _Saving:
    """A checkpoint that the worker asked for."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.error: BaseException | None = None
        self.done = threading.Event()

    def carry_out(self, offer: Offer) -> None:
        """Call ``offer`` and keep its error, which fails the trial."""
        try:
            self.folder = offer(self.folder)
        except BaseException as error:
            self.error = error
        self.done.set()


class InProcess:
    """The trial of a function, as ``tuner.client`` reaches it in the worker's own process."""

    def __init__(self, session: Session, config: Mapping[str, Any]) -> None:
        self._session = session
        self._config = config
        self._followed = 0

    def about(self) -> Mapping[str, Any]:
        """See ``tuner.client.CurrentTrial``."""
        return {
            "config": dict(self._config),
            "trial": self._session.trial_info.id,
            "metrics": list(self._session.objectives),
            "checkpoint": self._session.restored_from(),
            "reports": self._session.reports,
        }

    def report(self, metrics: Mapping[str, Any], checkpoint: Any, rank: int) -> None:
        """See ``tuner.client.CurrentTrial``."""
        if rank:
            self._followed += 1
            self._session.follow(self._followed)
        else:
            self._session.report(metrics, offer=offer_of(checkpoint))

    def folder(self) -> str:
        """See ``tuner.client.CurrentTrial``."""
        return self._session.trial_dir

    def should_stop(self) -> bool:
        """See ``tuner.client.CurrentTrial``."""
        self._session.returns_when_stopped = True
        return self._session.stopping.is_set()


def offer_of(checkpoint: Any) -> Offer | None:
    """Return the offer to save what ``tuner.client.report`` was given as its checkpoint."""
    if checkpoint is None:
        return None
    if not callable(checkpoint):
        return lambda _: str(checkpoint)

    def write(folder: str) -> str:
        checkpoint(folder)
        return folder

    return write
