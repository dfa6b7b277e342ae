"""Constrained decoding with transformers: each row may only continue with tokens that the grammar of its plan allows.

It is for evaluation and synthesis. GRPO uses it only if the recipe says so (`constrained`): the trainer computes
unconstrained log-probabilities, and a reward for validity is then constant.

A grammar alone does not make a response end in time. So the processor knows the token budget. When the rest of the
budget becomes short, it allows only tokens after which the response can still be closed in time. A budget that is too
small for any valid response is rejected before sampling.
"""

import codecs
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from protocol.errors import UserError
from protocol.grammar.closing import closer_of
from protocol.grammar.grammar import grammar_of
from protocol.plans.plan import Plan

NUM_CANDIDATES = 8
"""If the budget is short, only this many of the most likely tokens are considered."""


class BudgetError(UserError):
    """`max_new_tokens` is too small for a valid response; the message says how many are needed."""


def num_tokens_needed(plan: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of tokens of a plan's shortest valid response, including the end token.

    It is the shortest one in characters; `plan` is its canonical JSON text.
    """
    parts = closer_of(plan).closing("")
    return sum(len(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts) + 1


def check_budget(plans: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_new_tokens: int) -> None:
    """Check that the budget allows a valid response for each row.

    Raises:
        BudgetError: the budget is too small; lists these plans, with the tokens that each one needs.
    """
    needed = {plan: num_tokens_needed(plan, tokenizer) for plan in dict.fromkeys(plans)}
    if short := {plan: count for plan, count in needed.items() if count > max_new_tokens}:
        rows = [
            f"plan {Plan.from_json(plan).fingerprint} needs {count} (rows {_list(plans, plan)})"
            for plan, count in short.items()
        ]
        raise BudgetError(
            f"max_new_tokens {max_new_tokens} is too small for a valid response: {'; '.join(rows)};"
            f" give at least {max(short.values())}, and room for the answer"
        )


def _list(plans: Sequence[str], plan: str, most: int = 5) -> str:
    rows = [str(row) for row, each in enumerate(plans) if each == plan]
    return ", ".join(rows[:most] + ["..."] * (len(rows) > most))


class PlanLogitsProcessor(LogitsProcessor):
    """Masks tokens that would leave the grammar or exceed the budget; create a new one for every `generate`.

    Every row ends with an end token within the budget, and its text is a valid response to its plan. Rows must keep
    their order, so beam search is not supported. For several sequences per prompt, `plans` must repeat the plans.
    """

    def __init__(
        self,
        plans: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        end_ids: Sequence[int],
        max_new_tokens: int,
    ) -> None:
        """Prepare the grammars of the rows.

        Args:
            plans: the canonical JSON text of the plan of each row.
            tokenizer: a byte-level tokenizer, such as those of Qwen and SmolLM2.
            end_ids: the tokens that end a response.
            max_new_tokens: tokens that `generate` may add, including the end token.

        Raises:
            BudgetError: the budget is too small for a valid response of some row.
        """
        check_budget(plans, tokenizer, max_new_tokens)
        self.plans = plans
        self.tokenizer = tokenizer
        self.end_ids = tuple(end_ids)
        self.num_left = max_new_tokens
        self.rows: list[_Row] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """Return the scores (rows x vocabulary), with minus infinity at each token that is not allowed next."""
        if len(scores) != len(self.plans):
            raise ValueError(f"constrained decoding: {len(scores)} rows for {len(self.plans)} plans")
        if self.rows:
            for row, token_id in zip(self.rows, input_ids[:, -1].tolist(), strict=True):
                row.consume(token_id)
        else:
            tokenizer = guidance_tokenizer(self.tokenizer, max(scores.shape[1], len(self.tokenizer)), self.end_ids)
            self.rows = [_Row(plan, tokenizer) for plan in self.plans]
        is_allowed = self._allowed(scores.shape[1]).to(scores.device)
        scores = scores.masked_fill(~is_allowed, float("-inf"))
        self.num_left -= 1
        for place, row in enumerate(self.rows):
            if not row.matcher.is_stopped() and self.num_left < row.most_needed():
                kept = row.in_budget(scores[place], self.num_left)
                is_kept = torch.zeros_like(is_allowed[place]).index_fill_(0, kept, value=True)
                # Another processor may have given minus infinity to a token that is needed to close in time.
                scores[place] = torch.where(is_kept, scores[place].clamp(min=torch.finfo(scores.dtype).min), -torch.inf)
        return scores

    def _allowed(self, num_tokens: int) -> torch.Tensor:
        """Return which tokens the grammars allow next: booleans, rows x vocabulary."""
        bitmask = allocate_token_bitmask(len(self.rows), self.rows[0].tokenizer.vocab_size)
        for place, row in enumerate(self.rows):
            fill_next_token_bitmask(row.matcher, bitmask, place)  # for a finished row: the end tokens
        bits = np.unpackbits(bitmask.view(np.uint8), axis=1, bitorder="little")
        return torch.from_numpy(bits[:, :num_tokens] == 1)


class _Row:
    """One response during decoding: the state of its grammar, its text so far, and its closing."""

    def __init__(self, plan: str, tokenizer: LLTokenizer) -> None:
        self.closer = closer_of(plan)
        self.tokenizer = tokenizer
        self.matcher = LLMatcher(tokenizer, guidance_grammar(plan))
        self.written = b""
        self.forced: list[int] = []
        self._most_needed = _most_needed(plan, tokenizer)
        self._raise_error()

    def consume(self, token_id: int) -> None:
        """Advance by the sampled token; a finished row ignores it."""
        if not self.matcher.is_stopped():
            self.written += self.tokenizer.decode_bytes([token_id])
            self.matcher.consume_token(token_id)
            self._raise_error()

    def most_needed(self) -> int:
        """Return an upper bound on the tokens of the closing after any next token."""
        return _MOST_AFTER_TRACE if b"<answer>\n" in self.written else self._most_needed

    def in_budget(self, scores: torch.Tensor, num_left: int) -> torch.Tensor:
        """Return the most likely allowed tokens after which `num_left` more are enough, else the next closing token."""
        if not self.forced:
            likely = torch.topk(scores, min(NUM_CANDIDATES, len(scores))).indices.tolist()
            kept = [each for each in likely if scores[each] > -torch.inf and self._fits(each, num_left)]
            if kept:
                return torch.tensor(kept, device=scores.device)
            self.forced = [*self._closing(self.written), self.tokenizer.eos_token]
        return torch.tensor([self.forced.pop(0)], device=scores.device)

    def _fits(self, token_id: int, num_left: int) -> bool:
        if token_id in self.tokenizer.eos_tokens:
            return True
        return len(self._closing(self.written + self.tokenizer.decode_bytes([token_id]))) + 1 <= num_left

    def _closing(self, written: bytes) -> list[int]:
        """Return the tokens of the closing, without the end token."""
        text, rest = _whole_characters(written)
        line, after = self.closer.closing(text)
        return [*self.tokenizer.tokenize_bytes(rest + line.encode()), *self.tokenizer.tokenize_str(after)]

    def _raise_error(self) -> None:
        # llguidance does not raise; an ignored error would silently disable the mask.
        if error := self.matcher.get_error():
            raise RuntimeError(f"constrained decoding: {error}")


_MOST_AFTER_TRACE = len("x\n</answer>") + 3 + 1
"""A token for every byte, for the rest of a character, and for the end."""


def _whole_characters(written: bytes) -> tuple[str, bytes]:
    """Return the text with its last character completed, and the added bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text = decoder.decode(written)
    begun = decoder.getstate()[0]
    if not begun:
        return text, b""
    length = 2 + (begun[0] >= 0xE0) + (begun[0] >= 0xF0) - len(begun)
    for rest in map(bytes, product((0x80, 0x90, 0xA0), repeat=length)):
        try:
            return text + (begun + rest).decode(), rest
        except UnicodeDecodeError:
            continue
    raise RuntimeError(f"constrained decoding: {begun!r} begins no character")


@lru_cache(maxsize=256)
def _most_needed(plan: str, tokenizer: LLTokenizer) -> int:
    """Return a bound on the tokens of any closing of a plan: the line's end byte by byte, the longest rest, the end."""
    closer = closer_of(plan)
    rests = [closer.shortest, *closer.longest_rests()]
    return max(len(tokenizer.tokenize_str(rest)) for rest in rests) + closer.longest_line() + 3 + 1


@lru_cache(maxsize=256)
def guidance_grammar(plan: str) -> str:
    """Return the grammar of a plan, given as canonical JSON text, in llguidance's format."""
    return str(LLMatcher.grammar_from_lark(grammar_of(Plan.from_json(plan))))


@lru_cache(maxsize=4)  # about a second each
def guidance_tokenizer(tokenizer: PreTrainedTokenizerBase, num_tokens: int, end_ids: tuple[int, ...]) -> LLTokenizer:
    """Return llguidance's version of a tokenizer; the model's vocabulary of `num_tokens` may be larger (padding)."""
    return from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=list(end_ids))
