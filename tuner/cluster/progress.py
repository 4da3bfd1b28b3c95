"""What a user sees while a sweep runs: a live table in a terminal or a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from tuner.cluster.pace import Pace
from tuner.report import phrases
from tuner.sweep import Sweep

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table

    from tuner.cluster.driver import SweepDriver
    from tuner.worker.memory import MemoryLeak

_SECONDS_BETWEEN_FRAMES = 0.25
_SECONDS_BETWEEN_NOTEBOOK_FRAMES = 1.0
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_BESTS = 1.0

# In a notebook, where the page scrolls.
_NOTEBOOK_WIDTH, _NOTEBOOK_HEIGHT = 110, 24


class Progress(Protocol):
    """Something that shows a running sweep; ``show`` is called many times a second."""

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        """The sweep begins, with so many workers at once at present."""

    def show(self, driver: SweepDriver) -> None:
        """Something may have changed."""

    def close(self) -> None:
        """No trial runs any more, or an error ended it all."""


def chosen(progress: Progress | bool | None) -> Progress | None:
    """What ``run`` shows: ``True`` is what suits the place where it runs, ``False`` and ``None`` nothing."""
    if progress is True:
        return Notebook() if _is_notebook() else for_stream(sys.stderr)
    return None if progress is False else progress


def for_stream(stream: Any) -> Lines | Live:
    """The live table where ``stream`` is a terminal, else lines."""
    return Live() if stream.isatty() else Lines(stream)


def _is_notebook() -> bool:
    """Whether a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class Lines:
    """One line at the start, whenever the best improves, and every few seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._best: float | None = None
        self._told: set[str] = set()
        self._last_line = 0.0
        self._pace = Pace()

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        self._say(f"{opening(sweep, slots)}; results in {folder}")

    def show(self, driver: SweepDriver) -> None:
        self._pace.see(driver)
        for warning in untold(driver, self._told):
            self._say(warning)
        incumbent = driver.state.incumbent
        improved = incumbent is not None and incumbent.best != self._best
        quiet = time.monotonic() - self._last_line
        if quiet >= (_SECONDS_BETWEEN_BESTS if improved else _SECONDS_BETWEEN_LINES):
            self._best = incumbent.best if incumbent is not None else None
            self._say(f"{status(driver, self._pace)}; {best(driver)}")

    def close(self) -> None:
        return

    def _say(self, line: str) -> None:
        self._last_line = time.monotonic()
        print(line, file=self._stream, flush=True)


class Live:
    """A table that is drawn anew in place, and leaves the screen at the end."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._live = RichLive(console=console or Console(stderr=True), auto_refresh=False, transient=True)
        self._pace = Pace()
        self._drawn = 0.0
        self._told: set[str] = set()
        self._heading = ""

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        self._heading = f"{sweep.name}: {opening(sweep, slots)}"
        self._live.start()
        self._live.update(f"{self._heading}\nstarting workers", refresh=True)

    def show(self, driver: SweepDriver) -> None:
        self._pace.see(driver)
        for warning in untold(driver, self._told):  # stays above the table
            self._live.console.print(warning, highlight=False, markup=False)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_FRAMES:
            self._drawn = time.monotonic()
            self._live.update(self.frame(driver), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def frame(self, driver: SweepDriver) -> RenderableType:
        """The picture of this moment, no higher than the terminal."""
        return picture(driver, self._heading, self._pace, console=self._live.console)


class Notebook:
    """The same table in the output of a notebook's cell, where it stays."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._drawn = 0.0
        self._told: set[str] = set()
        self._notes: list[str] = []
        self._heading = ""
        self._handle: Any = None
        self._driver: SweepDriver | None = None

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        from IPython.display import display

        self._heading = f"{sweep.name}: {opening(sweep, slots)}"
        self._handle = display(self._html(f"{self._heading}\nstarting workers"), display_id=True)

    def show(self, driver: SweepDriver) -> None:
        self._driver = driver
        self._pace.see(driver)
        self._notes += untold(driver, self._told)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_NOTEBOOK_FRAMES:
            self._draw(driver)

    def close(self) -> None:
        if self._driver is not None:
            self._draw(self._driver)

    def _draw(self, driver: SweepDriver) -> None:
        from rich.console import Console

        self._drawn = time.monotonic()
        # One that knows nothing of notebooks: rich would display what it prints.
        console = Console(
            width=_NOTEBOOK_WIDTH, height=_NOTEBOOK_HEIGHT, force_jupyter=False, color_system=None
        )
        with console.capture() as captured:
            console.print(picture(driver, self._heading, self._pace, console=console))
        self._handle.update(self._html("\n".join([*self._notes, captured.get().rstrip()])))

    def _html(self, text: str) -> Any:
        from IPython.display import HTML

        return HTML(f'<pre style="line-height: 1.25">{escape(text)}</pre>')


def picture(driver: SweepDriver, heading: str, pace: Pace, *, console: Console) -> Group:
    """What there is to see at this moment, no higher than the console: rows give way to all else."""
    from rich.console import Group
    from rich.text import Text

    top = [Text(heading, style="bold"), Text(status(driver, pace))]
    bottom = Text(best(driver), style="bold green" if driver.state.incumbent else "")
    running = [trial for trial in driver.state.trials.values() if trial.state == "running"]
    around = sum(len(console.render_lines(part)) for part in (*top, bottom))
    without_rows = len(console.render_lines(_table(driver, [])))
    # One line is left for the cursor, and one for how many are not shown.
    room = max(0, console.height - around - without_rows - 2)
    if not room or not running:
        return Group(*top, bottom)
    more = [Text(f"and {len(running) - room} more running")] if len(running) > room else []
    return Group(*top, _table(driver, running[:room]), *more, bottom)


def _table(driver: SweepDriver, trials: list[Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    metric = phrases.clean(driver.sweep.objective.metric)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True, show_edge=False)
    table.add_column("trial", no_wrap=True, min_width=5)
    for name, width in (("iteration", 9), (metric, min(max(len(metric), 8), 16)), ("best", 8)):
        table.add_column(Text(name), justify="right", no_wrap=True, min_width=width, max_width=width)
    table.add_column("configuration", no_wrap=True, overflow="ellipsis", ratio=1)
    limit = driver.sweep.budget.iterations
    for trial in trials:
        table.add_row(
            f"{trial.number:05d}",
            f"{trial.iteration}/{limit}" if limit else str(trial.iteration),
            phrases.short(trial.last) if trial.last is not None else "",
            phrases.short(trial.best) if trial.best is not None else "",
            Text(phrases.changed(trial.config)),
        )
    return table


def untold(driver: SweepDriver, told: set[str]) -> list[str]:
    """What is to be said of the workers and not among ``told``, to which it is added."""
    leaks = [_of_leak(leak) for leak in driver.leaks[:1]]
    said = [*leaks, *(_of_lanes(lanes) for lanes in driver.lanes_held[:1]), *driver.notes]
    new = [warning for warning in said if warning not in told]
    told.update(new)
    return new


def _of_lanes(lanes: int) -> str:
    """That memory limits the lanes, told when the first worker has to go on with fewer."""
    at_once = "one trial" if lanes == 1 else f"{lanes} trials"
    goes_on = f"it goes on with {at_once} at once, as others may; trials that had no room start again"
    return f"the device's memory does not hold all lanes of a worker: {goes_on}"


def _of_leak(leak: MemoryLeak) -> str:
    """That trials leave memory behind, told when the first worker is replaced for it."""
    of = "GPU memory" if leak.memory == "gpu" else "memory"
    before, after, share = (phrases.size(count) for count in (leak.before, leak.after, leak.share))
    held = f"between trials a worker held {before} at first and {after} now, of its share of {share}"
    return f"trials leave {of} behind: {held}; it is replaced, as others will be"


def opening(sweep: Sweep, slots: int | None) -> str:
    """What is about to run: how many trials of what, by which methods, and how many at once (if known)."""
    count, asked = sweep.trials, sweep.budget.concurrent
    trials = "as many trials as time allows" if count is None else phrases.several(count, "trial")
    searcher, scheduler = (
        getattr(part, "kind", type(part).__name__) for part in (sweep.searcher, sweep.scheduler)
    )
    parts = [f"{trials} of {sweep.trainable.name}", f"searcher {searcher}", f"scheduler {scheduler}"]
    if slots is not None:
        workers = min(n for n in (slots, asked, count) if n is not None)
        parts.append(f"{workers} worker{'s' if workers > 1 else ''}")
    further = [", ".join(parts)]
    if unequal := sweep.unequal_grid():
        further.append(unequal)
    if (repetition := sweep.repetition()) is not None:
        further.append(repetition)
    if (beginnings := sweep.beginnings()) is not None:
        further.append(f"warm start: {beginnings}")
    return "; ".join(further)


def status(driver: SweepDriver, pace: Pace) -> str:
    """Counts by state, the time so far, and about how long the rest will take."""
    counts = driver.state.counts()
    states = {name: counts[name] for name in ("running", "paused", "pending", "completed", "stopped")}
    total = driver.state.total
    of = f"/{total:,}" if total is not None else ""
    parts = [
        f"{len(driver.state.trials):,}{of} trials",
        phrases.counted({**states, "failed": counts["failed"]}) or "none running yet",
        phrases.duration(pace.seconds),
    ]
    rest = pace.remaining(driver)
    if rest is not None:
        parts.append(f"about {phrases.duration(rest)} left")
    return " · ".join(parts)


def best(driver: SweepDriver) -> str:
    """The best so far, with its trial, when it had it, and its configuration."""
    incumbent = driver.state.incumbent
    if incumbent is None or incumbent.best is None:
        return "no result yet"
    metric = phrases.clean(driver.sweep.objective.metric)
    trial = f"trial {incumbent.number:05d}, iteration {incumbent.best_iteration:,}"
    return (
        f"best {metric} {phrases.short(incumbent.best)} ({trial}): {phrases.changed(incumbent.best_config)}"
    )
