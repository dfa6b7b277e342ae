"""What a synthesis writes: rows, rejects with their reasons, and a report whose counts add up."""

from dataclasses import replace
from typing import Any

from data.prompts import prompt_messages
from data.rows import Provenance, SFTRow
from data.teacher.conversation import Fate, RowOutcome
from data.teacher.synthesis import Synthesis, SynthesisProgress
from toolkit.catalogue import fingerprint

BUILDER = "data.teacher 1"


def row_of(outcome: RowOutcome, synthesis: Synthesis) -> SFTRow:
    """Return the row of an outcome; its provenance names the teacher."""
    query, plan = outcome.job.query, outcome.plan
    source = query.provenance or Provenance("unknown", "unknown", BUILDER)
    return SFTRow(
        id=outcome.job.row_id,
        query_id=query.id,
        kind=query.kind,
        split=query.split,
        prompt=prompt_messages(query.text, plan, synthesis.style),
        completion=({"role": "assistant", "content": outcome.response},),
        images=query.images,
        plan=plan.to_json(),
        provenance=replace(source, builder=f"{BUILDER}, teacher {synthesis.teacher.model}"),
    )


def reject_of(outcome: RowOutcome) -> dict[str, Any]:
    """Return what is said of an outcome that is no row."""
    job = outcome.job
    about = {"id": job.row_id, "query_id": job.query.id, "kind": job.query.kind, "fate": outcome.fate}
    found = {"codes": outcome.last_codes, "reasons": outcome.reasons, "replies": outcome.num_replies}
    return {**about, **found, "plan": outcome.plan.to_json(), "response": outcome.response}


def report_of(synthesis: Synthesis, progress: SynthesisProgress) -> dict[str, Any]:
    """Return the settings and the counts; it does not depend on how often the run was interrupted."""
    teacher, spent = synthesis.teacher, progress.spending
    settings: dict[str, Any] = {
        "builder": BUILDER,
        "teacher": teacher.model,
        "protocol": fingerprint(),
        "style": synthesis.style,
    }
    settings |= teacher.sampling() | {"repairs": teacher.num_repairs, "constraint": teacher.constraint}
    settings |= {
        "blind": teacher.is_blind,
        "quotas": [f"{each.trait}={each.value}:{each.count}" for each in synthesis.quotas],
    }
    counts = {fate.value: progress.fates[fate] for fate in Fate}
    tokens = {
        "prompt": spent.prompt_tokens + spent.cached_prompt_tokens,
        "completion": spent.completion_tokens + spent.cached_completion_tokens,
    }
    return {
        "settings": settings | dict(synthesis.about),
        "queries": len(synthesis.queries),
        "wanted": progress.num_jobs,
        **counts,
        "beyond_quota": progress.num_jobs - progress.num_done,
        "repaired": progress.num_repaired,
        "first_replies_by_code": dict(progress.first_codes.most_common()),
        "set_aside_by_code": dict(progress.last_codes.most_common()),
        "questions": spent.num_questions,
        "tokens": tokens,
    }
