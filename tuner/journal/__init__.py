"""The journal of a sweep: typed events, the file that stores them, and the fold that summarises them."""

from tuner.journal._file import FILE_NAME, FORMAT, Follower, Journal, fingerprint, read
from tuner.journal.history import History, TrialHistory

__all__ = ["FILE_NAME", "FORMAT", "Follower", "History", "Journal", "TrialHistory", "fingerprint", "read"]
