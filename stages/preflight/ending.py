"""Checks that a learnt response ends with a token that stops generation. Otherwise every response runs to its limit."""

from collections.abc import Sequence
from typing import Any

from eval.families import turn_end
from eval.models.processors import tokenizer_of
from stages.preflight.findings import Finding
from stages.preflight.row_faults import render

_PROBE = "It is a cup."


def ending_finding(prompt: Sequence[Any], num_images: int, processor: Any, ends: Sequence[int]) -> Finding:
    """Check the token that the template writes after a response.

    Args:
        prompt: messages of a row.
        num_images: number of pictures of that row.
        processor: the model's processor or tokenizer.
        ends: tokens that stop generation according to the model's files.
    """
    tokenizer = tokenizer_of(processor)
    names = " or ".join(repr(name) for name in tokenizer.convert_ids_to_tokens(list(ends))) or "no token at all"
    answer = {"role": "assistant", "content": _PROBE}
    text = render(processor, [*prompt, answer], num_images, is_asked=False)
    behind = text.rpartition(_PROBE)[2].strip()
    written = tokenizer(behind, add_special_tokens=False)["input_ids"]
    if any(token in ends for token in written):
        return Finding("ok", "ending", f"a response ends with {tokenizer.decode(written)!r}, where generation stops")
    if (end := turn_end(processor)) in written:
        name = tokenizer.convert_ids_to_tokens([end])[0]
        found = f"a response ends with {name!r}, and the model's files name {names}: here generation stops at both"
        return Finding("warning", "ending", found, f"set end_token: {name!r}, so that it also stops elsewhere")
    if not written:
        return Finding(
            "fails",
            "ending",
            f"the template writes no token after a response, and generation stops at {names}: no response would end",
            "change chat_template.jinja to write that token after the assistant's words",
        )
    last = tokenizer.convert_ids_to_tokens(written[-1:])[0]
    if last not in tokenizer.get_added_vocab():  # such as "</s>" for a model without it
        return Finding(
            "fails",
            "ending",
            f"a response ends with {behind[-40:]!r}, which is not a token of this model; generation stops at {names}:"
            " no response would end",
            f"change chat_template.jinja to write {names} after the assistant's words",
        )
    return Finding(
        "fails",
        "ending",
        f"a response ends with {last!r}, and generation stops at {names}: no response would end",
        f"set end_token: {last!r}",
    )
