"""The table of schedulers: short name -> the class of its settings."""

from tuner.schedulers._asha import Asha
from tuner.schedulers._asha_stop import AshaStop
from tuner.schedulers._fifo import Fifo
from tuner.schedulers._hyperband import HyperBand
from tuner.schedulers.base import Action, Decision, Scheduler, SchedulerSpec

SCHEDULERS: dict[str, type[SchedulerSpec]] = {
    "fifo": Fifo,
    "asha": Asha,
    "asha_stop": AshaStop,
    "hyperband": HyperBand,
}

__all__ = [
    "SCHEDULERS",
    "Action",
    "Asha",
    "AshaStop",
    "Decision",
    "Fifo",
    "HyperBand",
    "Scheduler",
    "SchedulerSpec",
]
