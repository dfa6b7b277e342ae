"""Rows of one example: the demonstration of an honest response, and a pair of it and a corrupted one."""

from data.corruptions import CORRUPTIONS, Example
from data.prompts import UNKNOWN, prompt_messages
from data.rows import PreferencePair, Provenance, SFTRow
from protocol.plans.prompt import Style


def demonstration(example: Example, style: Style, unknown: Provenance = UNKNOWN) -> SFTRow:
    """Return the row that imitates the example's response; `unknown` is the provenance where its query has none."""
    query, plan = example.query, example.plan
    return SFTRow(
        id=f"sft-{query.id}",
        query_id=query.id,
        kind=query.kind,
        split=query.split,
        prompt=prompt_messages(query.text, plan, style),
        completion=({"role": "assistant", "content": example.response.render()},),
        images=query.images,
        plan=plan.to_json(),
        provenance=query.provenance or unknown,
    )


def corrupted_pair(
    example: Example, corruption: str, rejected: str, *, place: str, style: Style, unknown: Provenance = UNKNOWN
) -> PreferencePair:
    """Return the pair of the example's response and a corruption of it.

    Args:
        example: the honest response, its query and plan.
        corruption: its name.
        rejected: the spoilt text.
        place: what tells the query's pairs apart, the end of the row's id.
        style: of the prompt.
        unknown: the provenance where the query has none.
    """
    query, plan = example.query, example.plan
    return PreferencePair(
        id=f"dpo-{query.id}-{place}",
        query_id=query.id,
        kind=query.kind,
        split=query.split,
        prompt=prompt_messages(query.text, plan, style),
        chosen=({"role": "assistant", "content": example.response.render()},),
        rejected=({"role": "assistant", "content": rejected},),
        images=query.images,
        plan=plan.to_json(),
        corruption=corruption,
        expected_codes=tuple(sorted(CORRUPTIONS[corruption].codes)),
        provenance=query.provenance or unknown,
    )
