"""The journal of a sweep: its typed events, the file that holds them, and the one fold over them."""

from tuner.journal._file import FILE_NAME, FORMAT, Journal, fingerprint, read
from tuner.journal.history import History, TrialHistory

__all__ = ["FILE_NAME", "FORMAT", "History", "Journal", "TrialHistory", "fingerprint", "read"]
