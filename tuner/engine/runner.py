"""``run(sweep)``: from a sweep to its report."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import tuner
from tuner.engine import cluster
from tuner.errors import ResultsError
from tuner.journal import Journal
from tuner.report import Report
from tuner.report.renderings import html
from tuner.spec import importing
from tuner.sweep import Sweep

if TYPE_CHECKING:
    from tuner.engine.controller import Saves
    from tuner.engine.groups import PlacementGroups
    from tuner.engine.host import Host
    from tuner.engine.workers import WorkerPool

# So long a sweep may take to end in good order before another Ctrl-C ends it at once.
_SECONDS_OF_PATIENCE = 5.0

SWEEP_FILE = "sweep.yaml"
REPORT_FILE = "report.html"
CHECKPOINTS = "checkpoints"


class Progress(Protocol):
    """Something that shows a running sweep; ``show`` is called many times a second."""

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        """The sweep begins, with so many workers at once at present."""

    def show(self, host: Host) -> None:
        """Something may have changed."""

    def close(self) -> None:
        """No trial runs any more, or an error ended it all."""


def run(
    sweep: Sweep,
    *,
    address: str | None = None,
    progress: Progress | None = None,
    verbose: bool = False,
    exclusive: bool = False,
) -> Report:
    """Run a sweep to its end and return its report.

    ``address``: of a running Ray cluster (``"auto"``: the one on this machine); ``None``: the cluster that
    this process has joined already, else a new local one. ``verbose``: let Ray and the trials print.
    ``exclusive``: refuse a results folder that is there already, instead of taking the next free name.

    Ctrl-C (SIGINT) and SIGTERM end it in good order: the report then says ``interrupted``. Raises SpecError
    for a wrong sweep, ClusterError for a cluster that cannot be had or is too small, ResultsError for a
    results folder that cannot be written; all of them before any trial starts, but for workers that cannot
    load the trainable. A trial that fails does not raise.
    """
    interrupted = _Interruption()
    with interrupted.listening():
        sweep.check()
        # Ray takes SIGTERM for itself when it starts, so listen again.
        with cluster.connected(address, verbose=verbose), interrupted.listening():
            with importing():
                from tuner.engine.placement import place
                from tuner.engine.recipe import Recipe, share

            trainable = sweep.trainable.load()
            placement = place(trainable, sweep)
            recipe = Recipe(trainable, sweep, threads=placement.resources.threads)
            shared = share(sweep)
            sweep, folder = _claim_folder(sweep, exclusive=exclusive)
            journal = Journal(folder)
            try:
                (folder / SWEEP_FILE).write_text(sweep.to_yaml(), encoding="utf-8")
                journal.write("sweep", sweep=sweep.to_dict(), version=tuner.__version__)
                if progress is not None:
                    progress.open(sweep, folder, placement.slots)
                start = partial(placement.start, recipe, shared)
                parts = {"request": placement.request, "saves": _saves(sweep, trainable)}
                _drive(sweep, start, parts, journal, folder, progress, interrupted)
            finally:
                if progress is not None:
                    progress.close()
                journal.close()
        report = Report.read(folder)
        (folder / REPORT_FILE).write_text(html(report), encoding="utf-8")
    return report


def _drive(
    sweep: Sweep,
    start: Callable[[], WorkerPool | PlacementGroups],
    parts: dict[str, Any],
    journal: Journal,
    folder: Path,
    progress: Progress | None,
    interrupted: threading.Event,
) -> None:
    """Run trials until they have all ended, a budget is used up, or the user has had enough."""
    with importing():
        from ray.tune import Trainable
        from ray.tune.experiment import Experiment

        from tuner.engine.controller import Controller
        from tuner.engine.host import Host

    host = Host(sweep, journal)
    # Ray wants a registered class; what runs is what the workers have loaded.
    experiment = Experiment(CHECKPOINTS, Trainable, storage_path=str(folder.resolve()))
    controller = Controller(host, start(), experiment, **parts)
    started = time.monotonic()
    try:
        while not controller.is_finished():
            if interrupted.is_set():
                host.give_up("interrupted")
            elif sweep.budget.seconds is not None and time.monotonic() - started >= sweep.budget.seconds:
                host.give_up("seconds")
            elif sweep.budget.gpu_seconds is not None and controller.gpu_seconds >= sweep.budget.gpu_seconds:
                host.give_up("gpu_seconds")
            if host.reason is not None:
                break
            controller.step()
            if progress is not None:
                progress.show(host)
        if host.reason not in (None, "interrupted"):
            controller.stop_all()
    finally:
        controller.close()
    host.finish()


def _saves(sweep: Sweep, trainable: Any) -> Saves:
    if not inspect.isclass(trainable):
        return "by itself"
    return "on demand" if sweep.trainable.can_save() else "never"


def _claim_folder(sweep: Sweep, *, exclusive: bool) -> tuple[Sweep, Path]:
    """Make the results folder: ``<out>/<name>``, or the first of ``<name>-2``, ``-3``, ... that is free."""
    out = Path(os.path.expanduser(sweep.out))
    names = [sweep.name] if exclusive else _numbered(sweep.name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"out: cannot make {out}: {error.strerror}") from error
    for name in names:
        folder = out / name
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise ResultsError(f"out: cannot make {folder}: {error.strerror}") from error
        return sweep.model_copy(update={"name": name}), folder
    raise ResultsError(f"name: {out / sweep.name} is there already; choose another name or remove it")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


class _Interruption(threading.Event):
    """Set by SIGINT or SIGTERM while it listens; asked again after a while, they raise KeyboardInterrupt."""

    def __init__(self) -> None:
        super().__init__()
        self._first = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """A context in which the signals are ours; afterwards they are as before."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: Any) -> None:
        if self.is_set() and time.monotonic() - self._first > _SECONDS_OF_PATIENCE:
            raise KeyboardInterrupt
        self._first = self._first or time.monotonic()
        self.set()
