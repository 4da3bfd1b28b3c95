"""``resume(folder)``: continues a sweep that was killed or interrupted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tuner
from tuner.cluster.origin import check_sources
from tuner.cluster.progress import Progress, chosen, printing_outcome
from tuner.cluster.runner import SWEEP_FILE, Begun, carry_out
from tuner.code.fingerprint import differing, fingerprint
from tuner.code.modules import within
from tuner.errors import ResultsError
from tuner.journal import History, Journal, read
from tuner.journal.events import Resumed, SweepBegan
from tuner.report import Report
from tuner.report.phrases import ended
from tuner.sweep import Sweep
from tuner.trainable import TrainableSpec
from tuner.trust import require
from tuner.yaml12 import read_yaml

_CHANGED = "the code has changed since the sweep began"


def resume(
    folder: str | Path,
    *,
    trainable: Any = None,
    address: str | None = None,
    progress: Progress | bool | None = True,
    verbose: bool = False,
    trust: bool = False,
    on_report: Callable[[Report], object] | None = None,
) -> Report:
    """Continue a sweep that was killed or interrupted, from its journal and checkpoints, until its end.

    The searcher and the scheduler continue from their state at the interruption. Running trials continue from
    their last checkpoints, and results that they repeat are not recorded twice. Relative paths refer to the
    folder in which the sweep was started, if it still exists. The data must be unchanged. A note tells the
    user if the code has changed.

    Args:
        folder: The results folder.
        trainable: The class or function, if the sweep began with an object that cannot be imported.
        address: As for ``run``.
        progress: As for ``run``.
        verbose: As for ``run``.
        trust: Run the code that the folder names even if another user or machine began the sweep.
        on_report: As for ``run``.

    Raises:
        ResultsError: The folder has no sweep, the sweep has ended or is running, ``sweep.yaml`` was edited,
            or this version cannot resume it.
        UntrustedError: Another user or machine began the sweep.

    Other errors are those of ``run``.
    """
    requested = time.time()
    named = Path(folder)
    folder = named.absolute()  # resolve it before the working directory changes
    next(read(folder), None)  # raises ResultsError if there is no sweep
    journal = Journal(folder)
    try:
        events = list(read(folder))
        history = History.of(events)
        began, reason = history.began, history.reason
        for event in (began, *history.resumptions):
            _refuse_newer(event, folder)
        if began is None:
            raise ResultsError(f"{folder}: its run ended before the sweep began; start a new run")
        if reason not in (None, "interrupted"):
            raise ResultsError(f"{folder}: its sweep has ended ({ended(reason)}); there is nothing to resume")
        require(named, "resume", sweep=began.sweep, trust=trust)
        _refuse_edits(folder / SWEEP_FILE, began.sweep)
        with within(began.folder):
            sweep = Sweep(**{**began.settings, "trainable": _trainable(folder, began, trainable)})
            check_sources(sweep, began.sources or {})

            def begin() -> Begun:
                before = began.code
                now = fingerprint(sweep.trainable.load(), sweep.trainable.files())
                changed = differing(before, now) if isinstance(before, dict) else []
                journal.write(Resumed(version=tuner.__version__, began=requested, changed=changed))
                what = f"{_CHANGED} ({', '.join(changed)}); results of old and new code are compared"
                notes = [what] if changed else []
                return Begun(sweep, folder, journal, notes)

            sweep_id = str(began.id or f"{int(began.time):08x}")
            shown = chosen(progress)
            return carry_out(
                sweep,
                begin,
                events,
                sweep_id,
                address=address,
                progress=shown,
                verbose=verbose,
                on_report=on_report or printing_outcome(progress),
            )
    finally:
        journal.close()


def _refuse_edits(path: Path, sweep: dict[str, Any]) -> None:
    """Raise ResultsError if the sweep file in a results folder differs from the sweep in the journal."""
    if not path.is_file():
        return
    found = read_yaml(path)
    edited = [key for key in sweep.keys() | found.keys() if sweep.get(key) != found.get(key)]
    if edited:
        what = f"was edited in {', '.join(sorted(edited))}, but a resumed sweep cannot change"
        raise ResultsError(f"{path}: {what}; undo the edit, or delete the file to resume without it")


def _trainable(folder: Path, began: SweepBegan, given: Any) -> Any:
    """Return the trainable of a resumed sweep. Raises ResultsError if it is unknown or a different one."""
    recorded: Any = began.sweep.get("trainable")
    name = TrainableSpec.parse(recorded).name
    if given is None:
        if began.importable is False:
            what = f"its trainable was an object ({name}) that cannot be imported"
            raise ResultsError(f"{folder}: {what}; resume it in Python: tuner.resume(folder, trainable=...)")
        return recorded
    given_name = TrainableSpec.parse(given).name
    if given_name != name:
        raise ResultsError(f"{folder}: its trainable is {name}, got {given_name}")
    return TrainableSpec.parse(recorded).replaced_by(given)


def _refuse_newer(event: SweepBegan | Resumed | None, folder: Path) -> None:
    """Raise ResultsError if a newer version began or resumed the sweep."""
    version = str((event and event.version) or "0")
    if _numbers(version) > _numbers(tuner.__version__):
        what = f"tuner {version} ran its sweep, but this is tuner {tuner.__version__}"
        raise ResultsError(f"{folder}: {what}; resume it with that version or a newer one")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
