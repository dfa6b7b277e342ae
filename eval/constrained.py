"""Constrained decoding with transformers: each row may only continue a sentence of its own plan's grammar.

For evaluation and synthesis. Not for GRPO rollouts: the trainer computes unconstrained log-probabilities, and a
reward for validity would be constant.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from protocol.grammar import grammar_of
from protocol.plan import Plan


class PlanLogitsProcessor(LogitsProcessor):
    """Masks the tokens that would leave the grammar; keeps state, so made anew for every `generate`."""

    def __init__(self, plans: Sequence[str], tokenizer: PreTrainedTokenizerBase, end_ids: Sequence[int]) -> None:
        """Take the canonical JSON text of the plan of each row, and the token ids that end a response."""
        self.plans = plans
        self.tokenizer = tokenizer
        self.end_ids = tuple(end_ids)
        self.matchers: list[Any] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """Return the scores with minus infinity at every token that the grammar does not allow next."""
        if self.matchers:
            self._consume(input_ids[:, -1].tolist())
        else:
            self._start(num_tokens=scores.shape[1])
        bitmask = allocate_token_bitmask(len(self.matchers), scores.shape[1])
        for row, matcher in enumerate(self.matchers):
            if not matcher.is_stopped():  # transformers pads finished rows by itself
                fill_next_token_bitmask(matcher, bitmask, row)
        is_allowed = np.unpackbits(bitmask.view(np.uint8), axis=1, bitorder="little")[:, : scores.shape[1]]
        return scores.masked_fill(torch.from_numpy(is_allowed == 0).to(scores.device), float("-inf"))

    def _start(self, num_tokens: int) -> None:
        tokenizer = _guidance_tokenizer(self.tokenizer, num_tokens, self.end_ids)
        self.matchers = [LLMatcher(tokenizer, _guidance_grammar(plan)) for plan in self.plans]
        self._raise_errors()

    def _consume(self, token_ids: Sequence[int]) -> None:
        for matcher, token_id in zip(self.matchers, token_ids, strict=True):
            if not matcher.is_stopped():
                matcher.consume_token(token_id)
        self._raise_errors()

    def _raise_errors(self) -> None:
        # llguidance never raises by itself; an unread error would silently lift the mask.
        if errors := [error for matcher in self.matchers if (error := matcher.get_error())]:
            raise RuntimeError(f"constrained decoding: {errors[0]}")


@lru_cache(maxsize=256)
def _guidance_grammar(plan: str) -> str:
    return str(LLMatcher.grammar_from_lark(grammar_of(Plan.from_json(plan))))


@lru_cache(maxsize=4)  # about a second each
def _guidance_tokenizer(tokenizer: PreTrainedTokenizerBase, num_tokens: int, end_ids: tuple[int, ...]) -> LLTokenizer:
    # A model's vocabulary may be padded beyond its tokenizer's.
    return from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=list(end_ids))
