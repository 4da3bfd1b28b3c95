"""``resume(folder)``: a sweep that was killed or interrupted goes on, or it is said why it cannot."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import tuner
from tuner.cluster.origin import check_sources
from tuner.cluster.progress import Progress, chosen
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
) -> Report:
    """Go on with a sweep that was killed or interrupted, from its journal and checkpoints, to its end.

    What had been suggested, learned and decided is as it was. Trials that were running go on from their last
    checkpoints; what they had reported since is not reported again. Paths mean what they meant where the
    sweep was started, if that folder is still there. The data must be the same; changed code is told of.

    ``trainable``: the class or function, for a sweep that was given it as an object which cannot be imported.

    ``trust``: run the code that the folder names, although another user or machine began its sweep.

    Raises ResultsError for a folder without a sweep, whose sweep has ended or is still running, whose
    ``sweep.yaml`` was edited, or that this version cannot resume, UntrustedError for one that someone else
    began; otherwise as ``run``.
    """
    asked = time.time()
    named = Path(folder)
    folder = named.absolute()  # relative to where we are now
    next(read(folder), None)  # is there a sweep at all
    journal = Journal(folder)
    try:
        events = list(read(folder))
        history = History.of(events)
        began, reason = history.began, history.reason
        for event in (began, *history.resumptions):
            _refuse_newer(event, folder)
        if began is None:
            raise ResultsError(f"{folder}: its sweep was ended before it began; run it anew")
        if reason not in (None, "interrupted"):
            raise ResultsError(f"{folder}: its sweep has ended ({ended(reason)}), so there is none to resume")
        require(named, "resume", sweep=began.sweep, trust=trust)
        _refuse_edits(folder / SWEEP_FILE, began.sweep)
        with within(began.folder):
            sweep = Sweep(**{**began.settings, "trainable": _trainable(folder, began, trainable)})
            check_sources(sweep, began.sources or {})

            def begin() -> Begun:
                before = began.code
                now = fingerprint(sweep.trainable.load())
                changed = differing(before, now) if isinstance(before, dict) else []
                journal.write(Resumed(version=tuner.__version__, began=asked, changed=changed))
                notes = [f"{_CHANGED} ({', '.join(changed)}); values of both are compared"] if changed else []
                return Begun(sweep, folder, journal, notes)

            sweep_id = str(began.id or f"{int(began.time):08x}")
            shown = chosen(progress)
            return carry_out(sweep, begin, events, sweep_id, address=address, progress=shown, verbose=verbose)
    finally:
        journal.close()


def _refuse_edits(path: Path, sweep: dict[str, Any]) -> None:
    """Raise SpecError if a resolved sweep file says something else than the sweep that it was written for."""
    if not path.is_file():
        return
    found = read_yaml(path)
    edited = [key for key in sweep.keys() | found.keys() if sweep.get(key) != found.get(key)]
    if edited:
        what = f"was edited in {', '.join(sorted(edited))}, but a sweep continues as it began"
        raise ResultsError(f"{path}: {what}; undo that, or remove the file to resume without it")


def _trainable(folder: Path, began: SweepBegan, given: Any) -> Any:
    """The trainable of a sweep that is resumed. Raises ResultsError where it cannot be known."""
    recorded: Any = began.sweep.get("trainable")
    name = TrainableSpec.parse(recorded).name
    if given is None:
        if began.importable is False:
            what = f"its trainable was given as an object ({name}), which cannot be imported"
            raise ResultsError(f"{folder}: {what}; resume it in Python: tuner.resume(folder, trainable=...)")
        return recorded
    own = TrainableSpec.parse(given).name
    if own != name:
        raise ResultsError(f"{folder}: its trainable is {name}, got {own}")
    return {**recorded, "kind": given}


def _refuse_newer(event: SweepBegan | Resumed | None, folder: Path) -> None:
    """Raise ResultsError for a sweep that a newer version has begun or resumed."""
    version = str((event and event.version) or "0")
    if _numbers(version) > _numbers(tuner.__version__):
        what = f"tuner {version} has run its sweep, and this is tuner {tuner.__version__}"
        raise ResultsError(f"{folder}: {what}; resume it with that version or a newer one")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
