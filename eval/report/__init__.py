"""The report of a run: `report.json` with every number, `report.html` to read; see `write_report`.

The page is one file that asks nothing of the network: styles, script, plots and pictures are inside. What a model wrote
is shown as text and never becomes part of the page's structure.
"""

from eval.report.page import write_report

__all__ = ["write_report"]
