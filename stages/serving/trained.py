"""Plans for a trained checkpoint: those of the rule planner, with only the tools that it was trained with."""

from pathlib import Path

from protocol import Plan
from protocol.errors import UserError
from stages.export.lineage import lineage, rows_of
from toolkit.planner import Planner, plan_query
from toolkit.trimmed import planner_of


def trained_planner(stage: Path | None) -> Planner:
    """Return the planner for a stage; the plain rule planner if the stage's rows no longer exist.

    If the labels of a set cannot fill a tool, its plans omit the tool (`data/labelled/`). A model that never saw the
    tool cannot use it.
    """
    if stage is None:
        return plan_query
    try:
        rows = rows_of(lineage(stage)[-1])
    except UserError:
        return plan_query
    plans = [Plan.from_json(text) for text in {row.plan for row in rows}]
    return planner_of(plans) if plans else plan_query
