"""The plans that a checkpoint is asked under: the rule planner's, made of the tools that it was trained with."""

from pathlib import Path

from protocol import Plan
from protocol.errors import UserError
from stages.export.lineage import lineage, rows_of
from toolkit.planner import Planner, plan_query
from toolkit.trimmed import planner_of


def trained_planner(stage: Path | None) -> Planner:
    """Return the planner for a stage; the rule planner as it is where its rows are not there any more.

    A set whose labels cannot fill a tool has plans without it (`data/labelled/`), and a model that never saw the tool
    cannot be asked for it.
    """
    if stage is None:
        return plan_query
    try:
        rows = rows_of(lineage(stage)[-1])
    except UserError:
        return plan_query
    plans = [Plan.from_json(text) for text in {row.plan for row in rows}]
    return planner_of(plans) if plans else plan_query
