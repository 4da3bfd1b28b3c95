"""What a user sees while a sweep runs: a live table in a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tuner.report import words
from tuner.sweep import Sweep

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from tuner.engine.host import Host
    from tuner.engine.memory import Leak

_SECONDS_BETWEEN_FRAMES = 0.25
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_BESTS = 1.0
_ROWS = 16


class Lines:
    """One line at the start, whenever the best improves, and every few seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._best: float | None = None
        self._told: set[str] = set()
        self._last_line = 0.0
        self._began = time.monotonic()

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        self._say(f"{opening(sweep, slots)}; results in {folder}")

    def show(self, host: Host) -> None:
        for warning in untold(host, self._told):
            self._say(warning)
        incumbent = host.incumbent
        improved = incumbent is not None and incumbent.best != self._best
        quiet = time.monotonic() - self._last_line
        if quiet >= (_SECONDS_BETWEEN_BESTS if improved else _SECONDS_BETWEEN_LINES):
            self._best = incumbent.best if incumbent is not None else None
            self._say(f"{status(host, time.monotonic() - self._began)}; {best(host)}")

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
        self._began = self._drawn = time.monotonic()
        self._told: set[str] = set()
        self._heading = ""

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        self._heading = f"{sweep.name}: {opening(sweep, slots)}"
        self._live.start()
        self._live.update(f"{self._heading}\nstarting workers", refresh=True)

    def show(self, host: Host) -> None:
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_FRAMES:
            self._drawn = time.monotonic()
            for warning in untold(host, self._told):  # stays above the table
                self._live.console.print(warning, highlight=False)
            self._live.update(self.frame(host, self._drawn - self._began), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def frame(self, host: Host, seconds: float) -> RenderableType:
        """The picture of this moment."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        running = [course for course in host.courses.values() if course.state in ("running", "pending")]
        metric = words.clean(host.sweep.objective.metric)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
        table.add_column("trial", no_wrap=True, min_width=5)
        for name, width in (("iteration", 9), (metric, min(max(len(metric), 8), 16)), ("best", 8)):
            table.add_column(name, justify="right", no_wrap=True, min_width=width, max_width=width)
        table.add_column("configuration", no_wrap=True, overflow="ellipsis", ratio=1)
        limit = host.sweep.budget.iterations
        for course in running[:_ROWS]:
            table.add_row(
                f"{course.number:05d}",
                f"{course.iteration}/{limit}" if limit else str(course.iteration),
                words.short(course.last) if course.last is not None else "",
                words.short(course.best) if course.best is not None else "",
                Text(_config(course.config)),
            )
        more = [Text(f"and {len(running) - _ROWS} more running")] if len(running) > _ROWS else []
        return Group(
            Text(self._heading, style="bold"),
            Text(status(host, seconds)),
            table,
            *more,
            Text(best(host), style="bold green" if host.incumbent else ""),
        )


def untold(host: Host, told: set[str]) -> list[str]:
    """What is to be said of the workers and not among ``told``, to which it is added."""
    leaks = [_of_leak(leak) for leak in host.leaks[:1]]
    said = [*leaks, *(_of_lanes(lanes) for lanes in host.lanes_held[:1]), *host.notes]
    new = [warning for warning in said if warning not in told]
    told.update(new)
    return new


def _of_lanes(lanes: int) -> str:
    """That memory limits the lanes, told when the first worker has to go on with fewer."""
    at_once = "one trial" if lanes == 1 else f"{lanes} trials"
    goes_on = f"it goes on with {at_once} at once, as others may; trials that had no room start again"
    return f"the device's memory does not hold all lanes of a worker: {goes_on}"


def _of_leak(leak: Leak) -> str:
    """That trials leave memory behind, told when the first worker is replaced for it."""
    of = "GPU memory" if leak.memory == "gpu" else "memory"
    before, after, share = (words.size(count) for count in (leak.before, leak.after, leak.share))
    held = f"between trials a worker held {before} at first and {after} now, of its share of {share}"
    return f"trials leave {of} behind: {held}; it is replaced, as others will be"


def opening(sweep: Sweep, slots: int | None) -> str:
    """What is about to run: how many trials of what, by which methods, and how many at once (if known)."""
    count, asked = sweep.trials, sweep.budget.concurrent
    trials = "as many trials as time allows" if count is None else words.several(count, "trial")
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
    if (beginnings := sweep.beginnings()) is not None:
        further.append(f"warm start: {beginnings}")
    return "; ".join(further)


def status(host: Host, seconds: float) -> str:
    """Counts by state, the time so far, and about how long the rest will take."""
    counts = host.counts()
    states = {
        "running": counts["running"] + counts["pending"],
        "paused": counts["paused"],
        "completed": counts["completed"],
        "stopped": counts["stopped"],
        "failed": counts["failed"],
    }
    total = host.trials
    of = f"/{total:,}" if total is not None else ""
    parts = [
        f"{len(host.courses):,}{of} trials",
        words.counted(states) or "none running yet",
        words.duration(seconds),
    ]
    rest = remaining(host, seconds)
    if rest is not None:
        parts.append(f"about {words.duration(rest)} left")
    return " · ".join(parts)


def remaining(host: Host, seconds: float) -> float | None:
    """A guess in seconds, from the share of trials that are through; ``None`` before the first is."""
    counts = host.counts()
    through = counts["completed"] + counts["stopped"] + counts["failed"] + counts["paused"]
    total = host.trials
    guesses = []
    if total is not None and through:
        guesses.append(seconds * max(total - through, 0.5) / through)
    if host.sweep.budget.seconds is not None:
        guesses.append(max(host.sweep.budget.seconds - seconds, 0.0))
    return min(guesses, default=None)


def best(host: Host) -> str:
    """The best so far, with its trial and configuration."""
    incumbent = host.incumbent
    if incumbent is None or incumbent.best is None:
        return "no result yet"
    metric = words.clean(host.sweep.objective.metric)
    trial = f"trial {incumbent.number:05d}"
    return f"best {metric} {words.short(incumbent.best)} ({trial}): {_config(incumbent.best_config)}"


def _config(config: Mapping[str, Any]) -> str:
    return " ".join(f"{words.clean(name)}={words.short(value)}" for name, value in config.items())


def for_stream(stream: Any) -> Lines | Live:
    """The live table where ``stream`` is a terminal, else lines."""
    return Live() if stream.isatty() else Lines(stream)
