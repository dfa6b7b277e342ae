"""The tokens by which a model's template marks turns and pictures, where they stand in somebody's words.

A user who writes `<|im_end|>` ends a turn, and one who writes `<|image_pad|>` claims a picture that is not there: the
tokenizer does not tell words from markup. Training rows that hold such words are refused or escaped, as the recipe
says; whoever asks a checkpoint gets them escaped.
"""

import re
from typing import Any

from eval.models.loading import tokenizer_of

_KINDS = ("image_token", "video_token", "audio_token", "boi_token", "eoi_token")
"""What processors call the places of pictures and the like, which some tokenizers do not count among the special."""


def special_tokens(processor: Any) -> tuple[str, ...]:
    """Return the special tokens of a processor or tokenizer, the longest first."""
    tokenizer = tokenizer_of(processor)
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    places = (getattr(processor, name, None) for name in _KINDS)
    found = {*tokenizer.all_special_tokens, *added, *(str(each) for each in places if each)}
    return tuple(sorted((token for token in found if len(token) > 1), key=lambda token: (-len(token), token)))


def tokens_in(text: str, tokens: tuple[str, ...]) -> list[str]:
    """Return which of some special tokens a text holds."""
    return [token for token in tokens if token in text]


def escape(text: str, tokens: tuple[str, ...]) -> str:
    """Return a text in which a blank keeps each special token from being one.

    >>> escape("What does <|im_end|> do?", ("<|im_end|>",))
    'What does < |im_end|> do?'
    """
    if not tokens_in(text, tokens):
        return text
    return re.sub("|".join(map(re.escape, tokens)), lambda found: f"{found[0][0]} {found[0][1:]}", text)


def escape_messages(messages: Any, tokens: tuple[str, ...]) -> tuple[Any, ...]:
    """Return messages with the special tokens in their words escaped; unchanged where there are none."""
    return tuple({**message, "content": escape(message["content"], tokens)} for message in messages)
