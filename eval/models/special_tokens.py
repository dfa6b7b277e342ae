"""Finds and escapes special tokens in the words of users and rows.

A model's template marks turns and pictures with special tokens. A user who writes `<|im_end|>` would end a turn, and
one who writes `<|image_pad|>` would claim a picture that does not exist: the tokenizer does not distinguish words from
markup. Training rows with such words are rejected or escaped, as the recipe says. In prompts to a checkpoint they are
escaped.
"""

import re
from typing import Any

from eval.models.processors import tokenizer_of

_KINDS = ("image_token", "video_token", "audio_token", "boi_token", "eoi_token")
"""Processor attributes that name placeholder tokens; some tokenizers do not list these as special tokens."""


def special_tokens(processor: Any) -> tuple[str, ...]:
    """Return the special tokens of a processor or tokenizer, longest first."""
    tokenizer = tokenizer_of(processor)
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    places = (getattr(processor, name, None) for name in _KINDS)
    found = {*tokenizer.all_special_tokens, *added, *(str(each) for each in places if each)}
    return tuple(sorted((token for token in found if len(token) > 1), key=lambda token: (-len(token), token)))


def tokens_in(text: str, tokens: tuple[str, ...]) -> list[str]:
    """Return the special tokens that a text contains."""
    return [token for token in tokens if token in text]


def escape(text: str, tokens: tuple[str, ...]) -> str:
    """Return a text in which a blank breaks each special token.

    >>> escape("What does <|im_end|> do?", ("<|im_end|>",))
    'What does < |im_end|> do?'
    """
    if not tokens_in(text, tokens):
        return text
    return re.sub("|".join(map(re.escape, tokens)), lambda found: f"{found[0][0]} {found[0][1:]}", text)


def escape_messages(messages: Any, tokens: tuple[str, ...]) -> tuple[Any, ...]:
    """Return messages with the special tokens in their texts escaped; unchanged if there are none."""
    return tuple({**message, "content": escape(message["content"], tokens)} for message in messages)
