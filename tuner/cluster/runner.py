"""``run(sweep)``: runs a sweep and returns its report."""

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
from tuner import contract
from tuner.cluster import connection
from tuner.cluster.log import log, written
from tuner.cluster.origin import PLACE, beginning
from tuner.cluster.page import LivePage
from tuner.cluster.progress import Progress, chosen, printing_outcome
from tuner.cluster.taken import remedy
from tuner.cluster.tracking import Tracking
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

_SECONDS_OF_PATIENCE = 5.0
"""A repeated Ctrl-C aborts the orderly end of a sweep only after this time."""

# An interrupted sweep waits this long until its trials have finished an iteration and are saved. A cluster
# manager that sends SIGTERM sends SIGKILL 30 s later.
_SECONDS_TO_SAVE = 20.0

_SECONDS_BETWEEN_SAVES = 30.0
"""A searcher's model is only for inspection and may be large, so it is not saved more frequently."""

_LONGEST_PATH = 440
"""SQLite allows 512 bytes, but the journal's file names and a number after the name need some."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SWEEP_FILE = "sweep.yaml"
CHECKPOINTS = "checkpoints"


class Begun(NamedTuple):
    """A sweep with its results folder and journal."""

    sweep: Sweep
    folder: Path
    journal: Journal
    notes: Sequence[str] = ()
    """Messages for the user."""


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

    Ctrl-C (SIGINT) and SIGTERM end the sweep in an orderly way, and the report's reason is then
    ``interrupted``. A failed trial raises no error.

    Args:
        sweep: The sweep to run.
        address: The address of a running Ray cluster; ``"auto"`` means the one on this machine. ``None`` uses
            the cluster that this process has joined, or else starts a local one.
        progress: ``True`` shows a live table in a terminal or notebook, and lines on stderr elsewhere.
            ``False`` and ``None`` show nothing. It can also be an object with the methods of ``Progress``.
        verbose: Show the output of Ray and of the trials.
        exclusive: Refuse an existing results folder instead of choosing the next free name.
        on_report: Called with the report before Ray is stopped.

    Raises:
        SpecError: The sweep is invalid.
        ClusterError: The cluster cannot be started or joined, or is too small, or a worker cannot load the
            trainable.
        ResultsError: The results folder cannot be written.
        LoggerError: A logger failed.
    """

    began = time.time()
    sweep_id = secrets.token_hex(4)

    def begin() -> Begun:
        begun, folder = claim_folder(sweep, exclusive=exclusive)
        journal = Journal(folder)
        about = {
            "code": fingerprint(begun.trainable.load(), begun.trainable.files()),
            "importable": begun.trainable.is_importable(),
            "verbs": contract.verbs(begun.trainable.load()),
        }
        journal.write(beginning(begun, sweep_id, began=began, **about))
        return Begun(begun, folder, journal)

    on_report = on_report or printing_outcome(progress)
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
    """Run a sweep to its end, continuing after ``events``. Call ``begin`` when everything else is ready."""
    interrupted = _Interruption()
    with _alone(), interrupted.listening(), contextlib.ExitStack() as at_end:  # runs after leaving Ray
        # Start no cluster for a sweep with mistakes that can be found without its data.
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
                sweep.check()  # read the data while Ray starts
            ready()
            placement = place(trainable, sweep, ended=interrupted.is_set)
            setup = WorkerSetup(trainable, sweep, threads=placement.threads, travels=connection.is_spread())
            pool = placement.start(setup)
            try:
                if is_joined:
                    sweep.check()  # read the data while the workers import their modules
                shared = share(sweep)
                loggers = Loggers(sweep, sweep_id)
                sweep, folder, journal, notes = begin()
                at_end.callback(journal.close)
                at_end.callback(crash_report.clear, folder)
                at_end.enter_context(written(folder, verbose=verbose))
                log.info("sweep %s: %s, tuner %s", sweep.name, sweep.trainable.name, tuner.__version__)
                pool.share(shared, Results(str(folder.absolute()), journal.token))
                notes = list(notes)
                at_end.enter_context(
                    Tracking(folder, sweep.loggers, tell=notes.append, in_a_hurry=interrupted.is_set)
                )
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
    """Raise ClusterError if another sweep runs in this process, since Ray Tune has one global registry."""
    if not _RUNNING.acquire(blocking=False):
        what = "another sweep is running in this process"
        raise ClusterError(f"{what}; run them one after another, or each in its own process")
    try:
        yield
    finally:
        _RUNNING.release()


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Tell the user how to resume after an error of the results folder, the cluster or a logger."""
    try:
        with writing(folder):
            yield
    except (ResultsError, ClusterError, LoggerError) as error:
        if not folder.is_dir():
            raise
        message = f"{error}; when this is fixed, continue with: tuner resume {folder}"
        raise type(error)(message) from error


def _drive(
    sweep: Sweep,
    pool: Pool,
    parts: dict[str, Any],
    journal: Journal,
    folder: Path,
    events: list[Event],
    progress: Progress | None,
    interrupted: _Interruption,
    notes: list[str],
) -> None:
    """Run trials until all have ended, a budget is used up, or the user interrupts the sweep."""
    with importing():
        from ray.tune import Trainable

        from tuner.cluster.checkpoints import StoredExperiment
        from tuner.cluster.controller import Controller
        from tuner.cluster.driver import SweepDriver
        from tuner.state import SweepState, replay

    state = SweepState.begin(sweep)
    pending, history = replay(state, events), History.of(events)
    driver = SweepDriver(state, journal)
    driver.notes = notes  # the trackers add theirs
    driver.seconds_before = history.clock.driven
    for event in events:
        driver.recent.add(event)
    # Ray requires a registered class, but the workers run the trainable that they have loaded.
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
            what = "saving" if sweep.trainable.seems_to_save() else "ending"
            driver.notes.append(f"interrupted: {what} running trials; press Ctrl-C again to end immediately")
            if progress is not None:
                progress.show(driver)
            controller.wind_up(enough=lambda: interrupted.times > 1 or time.monotonic() >= deadline)
        elif state.reason is not None:
            controller.stop_all()
    finally:
        controller.close(enough=lambda: interrupted.times > 1)
        if progress is not None:
            progress.show(driver)
    driver.save(folder)
    # A finished sweep is not resumed, so discarded checkpoints must be deleted now.
    driver.tidy()
    journal.sync()
    _remove_leftovers(state, folder / CHECKPOINTS)
    driver.finish()


def _remove_leftovers(state: SweepState, folder: Path) -> None:
    """Delete checkpoints that are incomplete, or that no trial needs any more.

    A driver that crashes leaves them behind, and so does a worker that dies while it writes one.
    """
    from tuner.storage.checkpoints import PARTIAL

    for number in state.trials:
        trial_dir = folder / f"{number:05d}"
        for leftover in trial_dir.glob(f"*{PARTIAL}") if state.keeps(number) else [trial_dir]:
            shutil.rmtree(leftover, ignore_errors=True)


def _saves(sweep: Sweep, trainable: Any) -> Saves:
    if not inspect.isclass(trainable):
        return "by itself"
    return "on demand" if sweep.trainable.can_save() else "never"


def claim_folder(sweep: Sweep, *, exclusive: bool = False) -> tuple[Sweep, Path]:
    """Create the results folder with its sweep file, and return the sweep with the folder's name.

    The folder is ``<out>/<name>``, or the first of ``<name>-2``, ``-3``, ... that is free.
    """
    out = Path(os.path.expanduser(sweep.out))
    names = [sweep.name] if exclusive else possible_names(sweep.name)
    length = len(os.fsencode(out.absolute() / sweep.name))
    if length > _LONGEST_PATH:
        what = f"the path of the results folder must have at most {_LONGEST_PATH} bytes, got {length}"
        raise ResultsError(f"out: {what}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"out: cannot create {out}: {error.strerror}") from error
    for name in names:
        folder = out / name
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise ResultsError(f"out: cannot create {folder}: {error.strerror}") from error
        claimed = sweep.model_copy(update={"name": name})
        with writing(folder):
            (folder / SWEEP_FILE).write_text(claimed.to_yaml(leave_out=PLACE), encoding="utf-8")
        return claimed, folder
    raise ResultsError(f"name: {out / sweep.name} already exists; {remedy(out / sweep.name)}")


def possible_names(name: str) -> Iterator[str]:
    """Yield the names for a sweep in the order of preference: ``name``, ``name-2``, ``name-3`` and so on."""
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


class _Interruption(threading.Event):
    """An event that a signal sets. After ``_SECONDS_OF_PATIENCE``, another signal raises KeyboardInterrupt.

    If the process ignores SIGHUP, as under nohup, it still does so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times = 0  # the number of signals so far
        self._first = 0.0  # when the first signal came

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals, and restore the former handlers at the end."""
        if threading.current_thread() is not threading.main_thread():  # only that one can handle signals
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if number != signal.SIGHUP or handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        self.times += 1
        if self.is_set() and time.monotonic() - self._first > _SECONDS_OF_PATIENCE:
            raise KeyboardInterrupt
        self._first = self._first or time.monotonic()
        self.set()
