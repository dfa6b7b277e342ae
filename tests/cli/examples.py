"""Responses that the tests of the command line check, and the rows around them."""

import json

from data.pocket.world import generate
from data.synthesis import reference_response
from toolkit.planner import plan_query

QUERY = next(generate("train", 1, seed=0)).query
PLAN = plan_query(QUERY.text, 1)
GOOD = reference_response(QUERY, PLAN).render()
BAD = GOOD.replace("[VISUAL-SCAN]", "[VISUAL-SCNA]")


def record(response=GOOD, **fields):
    return {"response": response, "plan": json.loads(PLAN.to_json()), **fields}


def lines(*records):
    """Return JSON Lines; a record that is a string is used unchanged."""
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in records)
