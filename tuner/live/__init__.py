"""The live view of a running sweep: its values, and their drawing in a terminal, a notebook or a line."""

from tuner.live import cell, words
from tuner.live.pace import Pace
from tuner.live.recent import Recent
from tuner.live.view import Leader, LiveView, RunningTrial, Viewer, WorkerCounts

__all__ = ["Leader", "LiveView", "Pace", "Recent", "RunningTrial", "Viewer", "WorkerCounts", "cell", "words"]
