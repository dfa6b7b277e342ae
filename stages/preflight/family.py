"""Reports the family of a model, whether it was tried here, and the changes to its chat template."""

from typing import Any

from eval.families import OTHER, changes_of, family_of, tried_names
from stages.preflight.findings import Finding, Section


def family_section(model_config: Any, processor: Any) -> Section:
    """Report a model's family and chat template; a family that was not tried gives a warning."""
    family = family_of(model_config)
    tried = Finding("ok", "family", family.name)
    if family is OTHER:
        found = f"{model_config.model_type} was not tried here; tried were {tried_names()}"
        tried = Finding("warning", "family", found, "try --measure and a stage of two steps")
    template = changes_of(processor) or "as published"
    return Section("model", (tried, Finding("ok", "chat template", template)))
