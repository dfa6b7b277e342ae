"""Does a learnt response end with a token at which generation stops? If not, every response runs to its limit."""

from collections.abc import Sequence
from typing import Any

from eval.families import turn_end
from eval.models.loading import tokenizer_of
from stages.preflight.findings import Finding
from stages.preflight.row_faults import render

_PROBE = "It is a cup."


def ending_finding(prompt: Sequence[Any], num_images: int, processor: Any, ends: Sequence[int]) -> Finding:
    """Report on the token behind a response, as the template writes it.

    Args:
        prompt: messages of a row.
        num_images: of that row.
        processor: the model's processor or tokenizer.
        ends: tokens at which generation stops by the model's files.
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
            f"the template writes no token behind a response, and generation stops at {names}: no response would end",
            "have chat_template.jinja write that token behind the assistant's words",
        )
    last = tokenizer.convert_ids_to_tokens(written[-1:])[0]
    if last not in tokenizer.get_added_vocab():  # "</s>" for a model without it: the ">" of it stands in many words
        return Finding(
            "fails",
            "ending",
            f"a response ends with {behind[-40:]!r}, which is no token of this model, and generation stops at {names}:"
            " no response would end",
            f"have chat_template.jinja write {names} behind the assistant's words",
        )
    return Finding(
        "fails",
        "ending",
        f"a response ends with {last!r}, and generation stops at {names}: no response would end",
        f"set end_token: {last!r}",
    )
