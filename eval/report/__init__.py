"""Writes the report of a run: `report.json` with every number, and `report.html` for readers; see `write_report`.

The page is one file that needs no network: it contains styles, script, plots and pictures. Text by a model is shown as
text and never becomes part of the page's structure.
"""

from eval.report.page import write_report

__all__ = ["write_report"]
