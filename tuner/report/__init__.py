"""The outcome of a sweep: ``Report`` and its ``Trial``s, read from the journal alone.

``tuner.report.renderings`` turns a report into text: JSON, CSV, tables for a terminal, a web page.
"""

from tuner.report._evaluation import EVALUATION_FILE
from tuner.report._report import Report
from tuner.report._trial import Trial

__all__ = ["EVALUATION_FILE", "Report", "Trial"]
