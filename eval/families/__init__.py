"""Model families: one table of their differences, their scaling of pictures, and their chat templates."""

from eval.families.table import (
    FAMILIES,
    OTHER,
    TARGETS,
    Family,
    family_of,
    refusal_of,
    scaling_of,
    targets_of,
    tried_names,
)
from eval.families.templates import adapt_template, changes_of, refuses_system, start_once, turn_end

__all__ = [
    "FAMILIES",
    "OTHER",
    "TARGETS",
    "Family",
    "adapt_template",
    "changes_of",
    "family_of",
    "refusal_of",
    "refuses_system",
    "scaling_of",
    "start_once",
    "targets_of",
    "tried_names",
    "turn_end",
]
