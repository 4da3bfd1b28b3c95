"""The page of a report: one HTML file with figures and tables that needs no network.

``html`` writes it, ``html_snippet`` a short form for notebooks. All that they show comes from ``PageData``.
"""

from tuner.report.page._document import html, html_snippet
from tuner.report.page.data import PageData
from tuner.report.page.gather import page_data

__all__ = ["PageData", "html", "html_snippet", "page_data"]
