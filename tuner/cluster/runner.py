"""``run(sweep)``: from a sweep to its report."""

from __future__ import annotations

import contextlib
import inspect
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tuner
from tuner.cluster import connection
from tuner.cluster.log import log, written
from tuner.cluster.origin import PLACE, beginning
from tuner.cluster.page import LivePage
from tuner.cluster.progress import Progress, chosen
from tuner.code.fingerprint import fingerprint
from tuner.code.importing import import_tune, importing
from tuner.errors import ClusterError, LoggerError, ResultsError
from tuner.journal import History, Journal
from tuner.journal.events import Closed, Event
from tuner.report import Report
from tuner.storage.disk import writing
from tuner.sweep import Sweep

if TYPE_CHECKING:
    from tuner.cluster.controller import Saves
    from tuner.cluster.lanes import Pool
    from tuner.state import SweepState

# So long a sweep may take to end in good order before another Ctrl-C ends it at once.
_SECONDS_OF_PATIENCE = 5.0

# An interrupted sweep waits this long for its trials to end their iterations and be saved. Clusters that send
# SIGTERM send SIGKILL 30 s later.
_SECONDS_TO_SAVE = 20.0

# What a searcher writes of what it has learned is not needed to go on, and may be large.
_SECONDS_BETWEEN_SAVES = 30.0

_LONGEST_PATH = 440
"""SQLite takes 512, of which the journal's files and a number behind the name need some."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SWEEP_FILE = "sweep.yaml"
CHECKPOINTS = "checkpoints"


class Begun(NamedTuple):
    """A sweep whose results folder is there. ``notes``: what the user is to be told of it."""

    sweep: Sweep
    folder: Path
    journal: Journal
    notes: Sequence[str] = ()


def run(
    sweep: Sweep,
    *,
    address: str | None = None,
    progress: Progress | bool | None = True,
    verbose: bool = False,
    exclusive: bool = False,
    on_report: Callable[[Report], object] | None = None,
) -> Report:
    """Run a sweep to its end and return its report.

    ``address``: of a running Ray cluster (``"auto"``: the one on this machine); ``None``: the cluster that
    this process has joined already, else a new local one. ``verbose``: let Ray and the trials print.
    ``exclusive``: refuse a results folder that is there already, instead of taking the next free name.
    ``progress``: ``True`` shows a live table in a terminal and in a notebook, else lines on stderr; ``None``
    or ``False`` shows nothing; or an object of your own with the methods of ``Progress``.
    ``on_report``: called with the report before Ray is stopped.

    Ctrl-C (SIGINT) and SIGTERM end it in good order: the report then says ``interrupted``. Raises SpecError
    for a wrong sweep, ClusterError for a cluster that cannot be had or is too small, ResultsError for a
    results folder that cannot be written; all of them before any trial starts, but for workers that cannot
    load the trainable. A trial that fails does not raise.
    """

    began = time.time()
    sweep_id = secrets.token_hex(4)

    def begin() -> Begun:
        begun, folder = _claim_folder(sweep, exclusive=exclusive)
        journal = Journal(folder)
        with writing(folder):
            (folder / SWEEP_FILE).write_text(begun.to_yaml(leave_out=PLACE), encoding="utf-8")
        about = {
            "code": fingerprint(begun.trainable.load()),
            "importable": begun.trainable.is_importable(),
        }
        journal.write(beginning(begun, sweep_id, began=began, **about))
        return Begun(begun, folder, journal)

    progress = chosen(progress)
    return carry_out(
        sweep,
        begin,
        [],
        sweep_id,
        address=address,
        progress=progress,
        verbose=verbose,
        on_report=on_report,
    )


def carry_out(
    sweep: Sweep,
    begin: Callable[[], Begun],
    events: list[Event],
    sweep_id: str,
    *,
    address: str | None,
    progress: Progress | None,
    verbose: bool,
    on_report: Callable[[Report], object] | None = None,
) -> Report:
    """Run a sweep to its end, from where ``events`` leave it; ``begin`` is called when all else is ready."""
    interrupted = _Interruption()
    # What is left to do when the cluster has been left.
    with _alone(), interrupted.listening(), contextlib.ExitStack() as at_end:
        # No cluster starts or grows for a sweep that is wrong without a look at its data.
        if not sweep.is_plausible():
            sweep.check()
        is_joined = connection.is_joined()
        with connection.connecting(address, verbose=verbose) as ready:
            import_tune()
            with importing():
                from tuner.cluster.loggers import Loggers
                from tuner.cluster.placement import place
                from tuner.worker import crash_report
                from tuner.worker.setup import Results, WorkerSetup, share

            trainable = sweep.trainable.load()
            if not is_joined:
                sweep.check()  # reads the data while Ray starts
            ready()
            placement = place(trainable, sweep, ended=interrupted.is_set)
            threads = placement.resources.threads
            recipe = WorkerSetup(trainable, sweep, threads=threads, travels=connection.is_spread())
            pool = placement.start(recipe)
            try:
                if is_joined:
                    sweep.check()  # reads the data while the workers import what they need
                shared = share(sweep)
                loggers = Loggers(sweep, sweep_id)
                sweep, folder, journal, notes = begin()
                at_end.callback(journal.close)
                at_end.callback(crash_report.clear, folder)
                at_end.enter_context(written(folder, verbose=verbose))
                log.info("sweep %s: %s, tuner %s", sweep.name, sweep.trainable.name, tuner.__version__)
                pool.share(shared, Results(str(folder.absolute()), journal.token))
                at_end.enter_context(LivePage(folder))
                try:
                    if progress is not None:
                        progress.open(sweep, folder, placement.slots)
                    parts = {
                        "request": placement.request,
                        "saves": _saves(sweep, trainable),
                        "loggers": loggers,
                    }
                    with _resumable(folder):
                        _drive(sweep, pool, parts, journal, folder, events, progress, interrupted, notes)
                        journal.write(Closed())
                finally:
                    if progress is not None:
                        progress.close()
                report = Report.read(folder)
                if on_report is not None:
                    on_report(report)
            finally:
                pool.clear()
    return report


_RUNNING = threading.Lock()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A context in which no other sweep runs in this process: Ray Tune has one registry for all of it."""
    if not _RUNNING.acquire(blocking=False):
        what = "another sweep is running in this process; run them one after the other, or in a process each"
        raise ClusterError(what)
    try:
        yield
    finally:
        _RUNNING.release()


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say of an error of the results folder, the cluster or a logger that the sweep can be continued."""
    try:
        with writing(folder):
            yield
    except (ResultsError, ClusterError, LoggerError) as error:
        if not folder.is_dir():
            raise
        mended = f"{error}; once that is mended, continue with: tuner resume {folder}"
        raise type(error)(mended) from error


def _drive(
    sweep: Sweep,
    pool: Pool,
    parts: dict[str, Any],
    journal: Journal,
    folder: Path,
    events: list[Event],
    progress: Progress | None,
    interrupted: _Interruption,
    notes: Sequence[str],
) -> None:
    """Run trials until they have all ended, a budget is used up, or the user has had enough."""
    with importing():
        from ray.tune import Trainable

        from tuner.cluster.checkpoints import StoredExperiment
        from tuner.cluster.controller import Controller
        from tuner.cluster.driver import SweepDriver
        from tuner.state import SweepState, replay

    state = SweepState.begin(sweep)
    pending, history = replay(state, events), History.of(events)
    driver = SweepDriver(state, journal)
    driver.notes += notes
    driver.seconds_before = history.clock.driven
    for event in events:
        driver.recent.add(event)
    # Ray wants a registered class; what runs is what the workers have loaded.
    experiment = StoredExperiment(CHECKPOINTS, Trainable, storage_path=str(folder.resolve()))
    controller = Controller(driver, pool, experiment, **parts)
    controller.take_over(history, pending)
    _remove_leftovers(state, folder / CHECKPOINTS)
    started = time.monotonic() - history.clock.driven
    saved = time.monotonic()
    try:
        while not controller.is_finished():
            if interrupted.is_set():
                state.give_up("interrupted")
            elif sweep.budget.seconds is not None and time.monotonic() - started >= sweep.budget.seconds:
                state.give_up("seconds")
            elif sweep.budget.gpu_seconds is not None and controller.gpu_seconds >= sweep.budget.gpu_seconds:
                state.give_up("gpu_seconds")
            if state.reason is not None:
                break
            controller.step()
            if time.monotonic() - saved >= _SECONDS_BETWEEN_SAVES:
                driver.save(folder)
                saved = time.monotonic()
            if progress is not None:
                progress.show(driver)
        if state.reason == "interrupted":
            deadline = time.monotonic() + _SECONDS_TO_SAVE
            driver.notes.append("interrupted: running trials are saved; Ctrl-C again ends the sweep at once")
            if progress is not None:
                progress.show(driver)
            controller.wind_up(enough=lambda: interrupted.times > 1 or time.monotonic() >= deadline)
        elif state.reason is not None:
            controller.stop_all()
    finally:
        controller.close()
        if progress is not None:
            progress.show(driver)
    driver.save(folder)
    # A sweep that has finished is not resumed, so nobody would do it later.
    driver.tidy()
    journal.sync()
    _remove_leftovers(state, folder / CHECKPOINTS)
    driver.finish()


def _remove_leftovers(state: SweepState, folder: Path) -> None:
    """Delete the checkpoints of trials that have ended and are not kept, and those that are not whole.


    A driver that crashes may leave them behind, and so may a worker that dies as it writes one.
    """
    from tuner.storage.checkpoints import PARTIAL

    for number in state.trials:
        trial_dir = folder / f"{number:05d}"
        for left in trial_dir.glob(f"*{PARTIAL}") if state.keeps(number) else [trial_dir]:
            shutil.rmtree(left, ignore_errors=True)


def _saves(sweep: Sweep, trainable: Any) -> Saves:
    if not inspect.isclass(trainable):
        return "by itself"
    return "on demand" if sweep.trainable.can_save() else "never"


def _claim_folder(sweep: Sweep, *, exclusive: bool) -> tuple[Sweep, Path]:
    """Make the results folder: ``<out>/<name>``, or the first of ``<name>-2``, ``-3``, ... that is free."""
    out = Path(os.path.expanduser(sweep.out))
    names = [sweep.name] if exclusive else _numbered(sweep.name)
    length = len(os.fsencode(out.absolute() / sweep.name))
    if length > _LONGEST_PATH:
        what = f"the path of the results folder must have at most {_LONGEST_PATH} bytes, got {length}"
        raise ResultsError(f"out: {what}")
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
    """Set by SIGINT, SIGTERM or SIGHUP while it listens; after a while, another raises KeyboardInterrupt.

    ``times``: how many signals there were. SIGHUP that the process ignores, as under nohup, stays ignored.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times = 0
        self._first = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """A context in which the signals are ours; afterwards they are as before."""
        if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if number != signal.SIGHUP or handler is not signal.SIG_IGN:  # by nohup
                signal.signal(number, self._take)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: Any) -> None:
        self.times += 1
        if self.is_set() and time.monotonic() - self._first > _SECONDS_OF_PATIENCE:
            raise KeyboardInterrupt
        self._first = self._first or time.monotonic()
        self.set()
