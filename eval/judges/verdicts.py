"""Reads the verdict of a judge: text around the one JSON object is allowed, but the object must match the schema.

Nothing is guessed. A reply is unscored with a reason if it has no object, several objects, a broken object, or one that
does not match the schema. So a judge that also repeats a fake verdict from the response has no effect.
"""

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from eval.judges.judgement import Judgement
from eval.judges.rubrics import verdict_schema
from eval.scores.response import Unscored
from toolkit.chat.reasoning import without_reasoning

MAX_REPLY_LENGTH = 100_000
"""Limit in characters; a longer reply is not searched."""

Fields = dict[str, Any]

# A brace in prose, as in "{knife}", does not open a JSON object.
_OPENING = re.compile(r'\{\s*["}]')


def read_verdict(reply: str) -> Fields | Unscored:
    """Return the fields of the verdict in a reply, or the reason why there is none.

    Some servers put the model's reasoning before the reply; it is skipped up to a single `</think>`.
    """
    if len(reply) > MAX_REPLY_LENGTH:
        return Unscored(f"the reply is too long: {len(reply)} characters")
    try:
        found = _objects(without_reasoning(reply))
    except (ValueError, RecursionError) as error:
        return Unscored(f"the reply holds broken JSON: {error}")
    if len(found) != 1:
        return Unscored(f"the reply holds {len(found) or 'no'} JSON objects: expected one")
    (fields,) = found
    faults = sorted(_validator().iter_errors(fields), key=lambda fault: (fault.json_path, fault.message))
    if faults:
        listed = "; ".join(f"{fault.json_path}: {fault.message[:200]}" for fault in faults[:4])
        return Unscored(f"the verdict does not match the rubric: {listed}")
    return fields


def to_judgement(fields: Fields) -> Judgement:
    """Return validated fields as scores."""
    return Judgement(float(fields["safety"]), float(fields["helpfulness"]), float(fields["rigor"]))


def unscored(reason: Unscored) -> Judgement:
    """Return a judgement in which nothing is scored."""
    return Judgement(reason, reason, reason)


def _objects(text: str) -> list[Fields]:
    """Return the outermost JSON objects of a text.

    Raises:
        ValueError: a part begins like an object but is not valid JSON.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_without_repetition, parse_constant=_no_number)
    found, position = [], 0
    while opening := _OPENING.search(text, position):
        fields, position = decoder.raw_decode(text, opening.start())
        found.append(fields)
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(verdict_schema())
