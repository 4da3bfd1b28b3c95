"""Lays out the times in which trials were on workers: one row for each lane of each worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuner.journal.events import Decision, Ended
from tuner.journal.history import Clock, Span, TrialHistory
from tuner.report.page.data import Outcome, SpanData

Worker = tuple[int, str, int | None]
"""Run of the sweep, address of the machine, number of the process in that run."""


def lay_out(trials: Iterable[TrialHistory], clock: Clock) -> tuple[list[str], list[SpanData]]:
    """Return the names of the lanes, and the spans in order of their beginning.

    A lane holds one trial at a time. The journal names the worker, not the lane, so a trial gets the first
    lane of its worker that is free. Journals of earlier versions do not name the worker; then all trials of a
    machine share one.
    """
    found = []
    for trial in trials:
        for span in trial.spans:
            run = _run_of(span.started.time, clock)
            ended = clock.runs[run][1] if span.ended is None else span.ended.time
            worker = (run, span.started.node, span.started.worker)
            is_open = span.ended is None and span is trial.spans[-1] and trial.state == "running"
            outcome = "running" if is_open else _outcome(span)
            found.append((span.started.time, ended, trial.number, worker, outcome))
    found.sort(key=lambda each: (each[0], each[2]))
    free_from: dict[Worker, list[float]] = {}
    rows: list[tuple[Worker, int]] = []
    for began, ended, _, worker, _ in found:
        lanes = free_from.setdefault(worker, [])
        lane = next((lane for lane, free in enumerate(lanes) if free <= began), len(lanes))
        if lane == len(lanes):
            lanes.append(0.0)
        lanes[lane] = max(ended, began)
        rows.append((worker, lane))
    workers = {worker: number for number, worker in enumerate(free_from)}
    order = sorted(set(rows), key=lambda row: (workers[row[0]], row[1]))
    index = {row: position for position, row in enumerate(order)}
    names = _names(order, workers, lanes={worker: len(lanes) for worker, lanes in free_from.items()})
    spans = [
        SpanData(trial, clock.elapsed(began), clock.elapsed(ended), index[row], outcome)
        for (began, ended, trial, _, outcome), row in zip(found, rows, strict=True)
    ]
    return names, spans


def _names(
    rows: Sequence[tuple[Worker, int]],
    workers: dict[Worker, int],
    *,
    lanes: dict[Worker, int],
) -> list[str]:
    return [
        f"worker {workers[worker] + 1}" + (f", lane {lane + 1}" if lanes[worker] > 1 else "")
        for worker, lane in rows
    ]


def _run_of(time: float, clock: Clock) -> int:
    """Return the run of the sweep to which a time belongs."""
    begun = [number for number, (began, _) in enumerate(clock.runs) if began <= time]
    return begun[-1] if begun else 0


def _outcome(span: Span) -> Outcome:
    match span.ended:
        case Ended(state=state):
            return state
        case Decision():
            return "paused"
    return "lost"
