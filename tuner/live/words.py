"""Phrases that describe a ``LiveView``. The terminal, the notebook and the plain lines use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.live.recent import FailureKind
from tuner.live.view import LiveView, WorkerCounts
from tuner.report import phrases

_STATES = ("running", "paused", "pending", "completed", "stopped", "failed")
_EXTREME = {"min": "lowest", "max": "highest"}


def best(view: LiveView, *, longest: int | None = None) -> str:
    """Return the best value with its trial and iteration, or the size of the front.

    A name of a metric is cut to ``longest`` characters; ``None``: no limit.
    """
    metrics = [_shorten(phrases.clean(metric), longest) for metric in view.metrics]
    if not view.leaders:
        return "no result yet"
    if view.front is not None:
        return f"{phrases.several(view.front, 'trial')} on the Pareto front of {' and '.join(metrics)}"
    leader = view.leaders[0]
    return (
        f"{metrics[0]} {phrases.short(leader.values[0])} "
        f"(trial {leader.trial:05d}, iteration {leader.iteration:,})"
    )


def _shorten(text: str, longest: int | None) -> str:
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


def extreme(view: LiveView, place: int) -> str:
    """Return the best value of the front by one objective, with the trial's other values."""
    leader = view.leaders[place]
    values = [
        f"{phrases.clean(m)} {phrases.short(v)}" for m, v in zip(view.metrics, leader.values, strict=True)
    ]
    best_value = values.pop(place)
    return f"{_EXTREME[view.modes[place]]} {best_value} ({', '.join([f'trial {leader.trial:05d}', *values])})"


def trials(view: LiveView) -> str:
    """Count the trials, and those in each state."""
    return f"{of_all(view)} · {_states(view)}"


def _states(view: LiveView) -> str:
    return phrases.counted({state: view.counts[state] for state in _STATES}) or "none running yet"


def of_all(view: LiveView) -> str:
    """Return the number of trials so far and in all, as ``12/64``."""
    return f"{view.trials:,}" if view.total is None else f"{view.trials:,}/{view.total:,}"


def iterations(view: LiveView) -> str:
    """Count the iterations of all trials, with the most that they can do."""
    most = "" if view.most_iterations is None else f" of at most {view.most_iterations:,}"
    return f"{view.iterations:,}{most}"


def times(view: LiveView) -> str:
    """Return the time so far and the time left."""
    left = "" if view.seconds_left is None else f", about {phrases.duration(view.seconds_left)} left"
    return f"{phrases.duration(view.seconds)}{left}"


def workers(counts: WorkerCounts | None) -> str:
    """Count the workers and lanes in use; empty if ``counts`` is ``None``."""
    if counts is None:
        return ""
    parts = [f"{counts.busy:,} of {counts.workers:,} busy"] if counts.workers else []
    if counts.processes is not None:
        parts.append(f"{counts.processes:,} {'process' if counts.processes == 1 else 'processes'}")
    if counts.lanes is None:
        parts += ["lanes not measured yet"] if counts.workers else []
    elif counts.lanes != counts.workers:
        parts.append(f"{counts.trials:,} of {phrases.several(counts.lanes, 'lane')} in use")
    if counts.starting:
        parts.append(f"{counts.starting:,} starting")
    return " · ".join(parts)


def failures(kinds: Sequence[FailureKind]) -> str:
    """Count the failed trials, and those of each kind; empty if none failed."""
    total = sum(kind.count for kind in kinds)
    return f"{total:,}: {phrases.counted({kind.kind: kind.count for kind in kinds})}" if total else ""


def failure(kind: FailureKind) -> str:
    """Count the failed trials of one kind, with the latest message."""
    message = f": {kind.message}" if kind.message else ""
    return f"{kind.count:,} {kind.kind}{message}"


def reason(view: LiveView) -> str:
    """Say why the sweep stops early; empty if it does not."""
    return "" if view.reason is None else phrases.ended(view.reason)


def pairs(config: Mapping[str, Any]) -> list[str]:
    """Return the hyperparameters, each as ``lr=0.1``."""
    return [phrases.changed({name: value}) for name, value in config.items()]


def status(view: LiveView) -> str:
    """Return the trials by state, the time so far and the time left in one line."""
    left = [] if view.seconds_left is None else [f"about {phrases.duration(view.seconds_left)} left"]
    return " · ".join([f"{of_all(view)} trials", _states(view), phrases.duration(view.seconds), *left])


def result(view: LiveView) -> str:
    """Return the best value and its configuration in one line, or the front and its extremes."""
    if not view.leaders:
        return best(view)
    if view.front is not None:
        extremes = "; ".join(extreme(view, place) for place in range(len(view.leaders)))
        return f"{best(view)}: {extremes}"
    return f"best {best(view)}: {phrases.changed(view.leaders[0].config)}"
