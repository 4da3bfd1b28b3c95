"""Show a running sweep: a live view in a terminal or notebook, and plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from tuner.live import LiveView, Viewer, cell, words
from tuner.report import phrases
from tuner.sweep import Sweep

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live as RichLive

    from tuner.cluster.driver import SweepDriver
    from tuner.report import Report
    from tuner.worker.memory import MemoryLeak

_SECONDS_BETWEEN_FRAMES = 0.25
_SECONDS_BETWEEN_NOTEBOOK_FRAMES = 1.0
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_BESTS = 1.0

_PLAIN_TERMINALS = ("dumb", "unknown")
"""Terminals that cannot move the cursor."""


class Progress(Protocol):
    """An object that shows a running sweep."""

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        """Show that a sweep begins. ``slots``: how many workers fit on the cluster now."""

    def show(self, driver: SweepDriver) -> None:
        """Show the current state. The driver calls this many times per second."""

    def close(self) -> None:
        """End the display. No trial is running any more, or an error has ended the sweep."""


def chosen(progress: Progress | bool | None) -> Progress | None:
    """Return the display that the argument ``progress`` of ``run`` asks for.

    ``True`` selects one that suits the terminal or notebook. ``False`` and ``None`` select none.
    """
    if progress is True:
        return Notebook() if _is_notebook() else for_stream(sys.stderr)
    return None if progress is False else progress


def printing_outcome(progress: Progress | bool | None) -> Callable[[Report], object] | None:
    """Return what prints the outcome of a sweep on stderr after the display that ``True`` selects.

    A notebook shows the outcome in its cell.
    """
    if progress is not True or _is_notebook():
        return None

    def print_outcome(report: Report) -> None:
        from tuner.report import renderings

        print(renderings.summary(report), end="", file=sys.stderr, flush=True)

    return print_outcome


def for_stream(stream: Any) -> Lines | Live:
    """Return a live view if ``stream`` is a terminal that can draw it, else plain lines."""
    return Live() if stream.isatty() and os.environ.get("TERM") not in _PLAIN_TERMINALS else Lines(stream)


def _is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class _Display:
    """The common part of all displays."""

    def __init__(self) -> None:
        self._viewer = Viewer()
        self._told: set[str] = set()  # warnings that were already shown
        self._last_drawn = 0.0  # when the display was last drawn
        self._heading = ""

    def _update(self, driver: SweepDriver) -> list[str]:
        """Update the estimate of the remaining time, and return new warnings."""
        self._viewer.see(driver.state, before=driver.seconds_before)
        return untold(driver, self._told)

    def _view(self, driver: SweepDriver) -> LiveView:
        workers = None if driver.count_workers is None else driver.count_workers()
        return self._viewer.view(driver.state, driver.recent, workers)

    def _is_due(self, seconds: float) -> bool:
        """Return whether the last drawing is at least ``seconds`` old. If so, the caller must now draw."""
        if time.monotonic() - self._last_drawn < seconds:
            return False
        self._last_drawn = time.monotonic()
        return True


class Lines(_Display):
    """Prints a line at the start, when the best value improves, and every few seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._best: float | None = None

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        self._say(f"{opening(sweep, slots)}; results in {folder}")

    def show(self, driver: SweepDriver) -> None:
        for warning in self._update(driver):
            self._say(warning)
        best = driver.state.incumbent.best if driver.state.incumbent is not None else None
        improved = best is not None and best != self._best
        if self._is_due(_SECONDS_BETWEEN_BESTS if improved else _SECONDS_BETWEEN_LINES):
            self._best = best
            view = self._view(driver)
            self._say(f"{words.status(view)}; {words.result(view)}")

    def close(self) -> None:
        return

    def _say(self, line: str) -> None:
        self._last_drawn = time.monotonic()
        print(line, file=self._stream, flush=True)


class Live(_Display):
    """A view that is redrawn in place, fits the terminal, and disappears at the end."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._live = self._new_live()
        self._size = self._console.size

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        what, *further = _parts_of_opening(sweep, slots)
        self._heading = f"{sweep.name}: {what}"
        self._live.start()
        for part in further:
            self._tell(part)
        self._live.update(f"{self._heading}\nstarting workers", refresh=True)

    def show(self, driver: SweepDriver) -> None:
        from tuner.live.terminal import Frame

        for warning in self._update(driver):
            self._tell(warning)
        if self._is_due(_SECONDS_BETWEEN_FRAMES):
            self._restart_if_resized()
            self._live.update(Frame(self._view(driver), self._heading), refresh=True)

    def close(self) -> None:
        from rich.text import Text

        if self._live.is_started:
            self._restart_if_resized()
            self._live.update(Text(), refresh=True)
            self._live.stop()

    def _tell(self, warning: str) -> None:
        """Print a line that stays above the view."""
        self._console.print(warning, highlight=False, markup=False)

    def _new_live(self) -> RichLive:
        from rich.live import Live as RichLive

        return RichLive(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def _restart_if_resized(self) -> None:
        """Clear a resized screen, since the terminal has moved the old lines to unknown positions."""
        if self._console.size == self._size:
            return
        self._size = self._console.size
        self._live.stop()
        self._console.clear()
        self._live = self._new_live()
        self._live.start()
        for warning in self._told:
            self._tell(warning)


class Notebook(_Display):
    """A view in the output of a notebook's cell. It remains there at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[str] = []
        self._handle: Any = None
        self._driver: SweepDriver | None = None

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        from IPython.display import HTML, display

        what, *further = _parts_of_opening(sweep, slots)
        self._heading = f"{sweep.name}: {what}"
        self._notes += further
        self._handle = display(HTML(cell.opening(self._heading)), display_id=True)

    def show(self, driver: SweepDriver) -> None:
        self._driver = driver
        self._notes += self._update(driver)
        if self._is_due(_SECONDS_BETWEEN_NOTEBOOK_FRAMES):
            self._draw(driver)

    def close(self) -> None:
        if self._driver is not None:
            self._draw(self._driver)

    def _draw(self, driver: SweepDriver) -> None:
        from IPython.display import HTML

        self._handle.update(HTML(cell.html(self._view(driver), self._heading, self._notes)))


def untold(driver: SweepDriver, told: set[str]) -> list[str]:
    """Return the driver's warnings and notes that are not in ``told``, and add them to ``told``."""
    leaks = [_leak_warning(leak) for leak in driver.leaks[:1]]
    warnings = [*leaks, *(_lanes_warning(lanes) for lanes in driver.lanes_held[:1]), *driver.notes]
    new = [warning for warning in warnings if warning not in told]
    told.update(new)
    return new


def _lanes_warning(lanes: int) -> str:
    """Return the warning that memory limits the lanes. Only the first worker's case is shown."""
    at_once = "one trial" if lanes == 1 else f"{lanes} trials"
    return (
        f"a worker's device has too little memory for all lanes: the worker continues with {at_once} "
        "at once, and other workers may have to; trials that did not fit are restarted"
    )


def _leak_warning(leak: MemoryLeak) -> str:
    """Return the warning that trials leak memory. Only the first worker's case is shown."""
    memory = "GPU memory" if leak.memory == "gpu" else "memory"
    before, after, share = (phrases.size(count) for count in (leak.before, leak.after, leak.share))
    held = f"between trials a worker held {before} at first and {after} now; its share is {share}"
    return f"trials leak {memory}: {held}; this worker is replaced, and any other that leaks will be"


def opening(sweep: Sweep, slots: int | None) -> str:
    """Describe a sweep before it starts: its trials, its methods, and its number of workers if known."""
    return "; ".join(_parts_of_opening(sweep, slots))


def _parts_of_opening(sweep: Sweep, slots: int | None) -> list[str]:
    """Return the description of a sweep, followed by facts that may surprise the user."""
    count, asked = sweep.trials, sweep.budget.concurrent
    trials = "as many trials as time allows" if count is None else phrases.several(count, "trial")
    searcher, scheduler = (
        getattr(part, "kind", type(part).__name__) for part in (sweep.searcher, sweep.scheduler)
    )
    parts = [f"{trials} of {sweep.trainable.name}", f"searcher {searcher}", f"scheduler {scheduler}"]
    if sizes := _sizes_of_gangs(sweep):
        parts.append(f"{sizes} per trial")
    if slots is not None:
        workers = min(n for n in (slots, asked, count) if n is not None)
        gangs = f"up to {phrases.several(workers, 'trial')} at once"
        parts.append(gangs if sizes else phrases.several(workers, "worker"))
    beginnings = sweep.beginnings()
    further = [
        sweep.unequal_grid(),
        sweep.repetition(),
        sweep.constant_lists(),
        None if beginnings is None else f"warm start: {beginnings}",
    ]
    return [", ".join(parts), *(part for part in further if part)]


def _sizes_of_gangs(sweep: Sweep) -> str | None:
    """Return the numbers of processes per trial in words; ``None`` if trials have one process."""
    if not sweep.resources.has_gangs:
        return None
    sizes = {each.processes for each in sweep.resources.possible(sweep.space)}
    least = "" if len(sizes) == 1 else f"{min(sizes)} to "
    return f"{least}{max(sizes):,} {'process' if max(sizes) == 1 else 'processes'}"
