"""Schedulers. ``SCHEDULERS`` maps each short name to its settings class."""

from tuner.journal.events import Action, Decision
from tuner.schedulers._asha import Asha
from tuner.schedulers._asha_stop import AshaStop
from tuner.schedulers._curve import Curve
from tuner.schedulers._fifo import Fifo
from tuner.schedulers._hyperband import HyperBand
from tuner.schedulers._median import Median, Percentile
from tuner.schedulers._pasha import Pasha
from tuner.schedulers._pbt import Pbt
from tuner.schedulers._replay import Replay
from tuner.schedulers._successive_halving import SuccessiveHalving
from tuner.schedulers.base import Scheduler, SchedulerSpec

SCHEDULERS: dict[str, type[SchedulerSpec]] = {
    "fifo": Fifo,
    "successive_halving": SuccessiveHalving,
    "hyperband": HyperBand,
    "asha": Asha,
    "asha_stop": AshaStop,
    "pasha": Pasha,
    "median": Median,
    "percentile": Percentile,
    "curve": Curve,
    "pbt": Pbt,
    "replay": Replay,
}

__all__ = [
    "SCHEDULERS",
    "Action",
    "Asha",
    "AshaStop",
    "Curve",
    "Decision",
    "Fifo",
    "HyperBand",
    "Median",
    "Pasha",
    "Pbt",
    "Percentile",
    "Replay",
    "Scheduler",
    "SchedulerSpec",
    "SuccessiveHalving",
]
