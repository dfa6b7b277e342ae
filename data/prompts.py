"""How a responder is asked: the plan as system message, then the user's words.

Training rows, evaluation and the production guard all ask through here.
"""

from data.rows import Message, Provenance, Query, RolloutPrompt
from protocol import Plan, system_prompt
from protocol.plans.prompt import Style
from toolkit.planner import Planner, plan_query

BUILDER = "data.build 12"
"""Part of the provenance of rows; a changed prompt needs a new number."""
UNKNOWN = Provenance("unknown", "unknown", BUILDER)
"""Of a query that does not say where it is from."""


def prompt_messages(text: str, plan: Plan, style: Style) -> tuple[Message, ...]:
    """Return the conversation that asks a responder: the plan as system message, then the user's words."""
    return (
        {"role": "system", "content": system_prompt(plan, style)},
        {"role": "user", "content": text},
    )


def rollout_prompt(query: Query, style: Style, planner: Planner = plan_query) -> RolloutPrompt:
    """Return the prompt of a query, with all that a reward needs to judge responses to it."""
    plan = planner(query.text, len(query.images))
    return RolloutPrompt(
        id=query.id,
        query_id=query.id,
        kind=query.kind,
        split=query.split,
        prompt=prompt_messages(query.text, plan, style),
        images=query.images,
        plan=plan.to_json(),
        labels=query.labels,
        query=query.text,
        provenance=query.provenance or UNKNOWN,
    )
