"""Loaded by Inspect through the entry point `tritrace`: importing this module registers everything."""

from inspect_ai.model import modelapi

from stages.inspection.naming import ours
from stages.inspection.scorers import scorer_by_name
from stages.inspection.tasks import respond, rows, task_by_name

__all__ = ["respond", "rows", "scorer_by_name", "task_by_name", "tritrace"]


@modelapi(name="tritrace")
@ours
def tritrace() -> type:
    """Return the provider; torch is imported only if one of our models is used."""
    from stages.inspection.provider import CheckpointAPI

    return CheckpointAPI
