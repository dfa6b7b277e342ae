"""Constrained decoding with transformers: each row may only continue a sentence of its own plan's grammar.

For evaluation and synthesis. In GRPO only where a recipe says so (`constrained`): the trainer computes unconstrained
log-probabilities, and a reward for validity is constant then.

A grammar alone does not make a response end in time. So the processor knows the budget: as soon as the rest of it could
become too short, only tokens are left from which the response can still be closed; and a budget that no valid response
fits is refused before anything is sampled.
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

from protocol.closing import closer_of
from protocol.errors import UserError
from protocol.grammar import grammar_of
from protocol.plan import Plan

NUM_CANDIDATES = 8
"""Where the budget is tight, only so many of the likeliest tokens are considered."""


class BudgetError(UserError):
    """`max_new_tokens` is too small for a valid response; the message says how many it takes."""


def num_tokens_needed(plan: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens the shortest valid response of a plan takes, the end token included.

    Shortest in characters; `plan` is its canonical JSON text.
    """
    parts = closer_of(plan).closing("")
    return sum(len(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts) + 1


def check_budget(plans: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_new_tokens: int) -> None:
    """Check that every row's budget allows a valid response.

    Raises:
        BudgetError: lists the plans it is too small for, with what each needs.
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
    """Masks the tokens that would leave the grammar or overrun the budget; made anew for every `generate`.

    Every row ends in an end token within the budget, and its text is a valid response to its plan. Rows keep their
    places: not for beam search, nor for several returned sequences a prompt unless `plans` repeats their plans.
    """

    def __init__(
        self,
        plans: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        end_ids: Sequence[int],
        max_new_tokens: int,
    ) -> None:
        """Take the rows' plans and what bounds them.

        Args:
            plans: the canonical JSON text of the plan of each row.
            tokenizer: byte-level, as Qwen's and SmolLM2's are.
            end_ids: the tokens that end a response.
            max_new_tokens: tokens that `generate` may add, the end token included.

        Raises:
            BudgetError: some row's budget allows no valid response.
        """
        check_budget(plans, tokenizer, max_new_tokens)
        self.plans = plans
        self.tokenizer = tokenizer
        self.end_ids = tuple(end_ids)
        self.num_left = max_new_tokens
        self.rows: list[_Row] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """Return the scores (rows x vocabulary) with minus infinity at every token that is not allowed next."""
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
                # A token that only closing in time asks for may have been scored minus infinity by another processor.
                scores[place] = torch.where(is_kept, scores[place].clamp(min=torch.finfo(scores.dtype).min), -torch.inf)
        return scores

    def _allowed(self, num_tokens: int) -> torch.Tensor:
        """Return what the grammars allow next: booleans, rows x vocabulary."""
        bitmask = allocate_token_bitmask(len(self.rows), self.rows[0].tokenizer.vocab_size)
        for place, row in enumerate(self.rows):
            fill_next_token_bitmask(row.matcher, bitmask, place)  # of a finished row, the end tokens
        bits = np.unpackbits(bitmask.view(np.uint8), axis=1, bitorder="little")
        return torch.from_numpy(bits[:, :num_tokens] == 1)


class _Row:
    """One response on its way: where it stands in its grammar, what was written, and how to close it."""

    def __init__(self, plan: str, tokenizer: LLTokenizer) -> None:
        self.closer = closer_of(plan)
        self.tokenizer = tokenizer
        self.matcher = LLMatcher(tokenizer, guidance_grammar(plan))
        self.written = b""
        self.forced: list[int] = []
        self._most_needed = _most_needed(plan, tokenizer)
        self._raise_error()

    def consume(self, token_id: int) -> None:
        """Take the token that was sampled; a finished row takes none."""
        if not self.matcher.is_stopped():
            self.written += self.tokenizer.decode_bytes([token_id])
            self.matcher.consume_token(token_id)
            self._raise_error()

    def most_needed(self) -> int:
        """Return how many tokens the closing may need after any next token, at most."""
        return _MOST_AFTER_TRACE if b"<answer>\n" in self.written else self._most_needed

    def in_budget(self, scores: torch.Tensor, num_left: int) -> torch.Tensor:
        """Return the likeliest allowed tokens after which `num_left` more suffice; else how the closing goes on."""
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
        """Return the tokens of a closing, without the end token."""
        text, rest = _whole_characters(written)
        line, after = self.closer.closing(text)
        return [*self.tokenizer.tokenize_bytes(rest + line.encode()), *self.tokenizer.tokenize_str(after)]

    def _raise_error(self) -> None:
        # llguidance never raises by itself; an unread error would silently lift the mask.
        if error := self.matcher.get_error():
            raise RuntimeError(f"constrained decoding: {error}")


_MOST_AFTER_TRACE = len("x\n</answer>") + 3 + 1
"""Every byte a token, the rest of a character, and the end token."""


def _whole_characters(written: bytes) -> tuple[str, bytes]:
    """Return the text with its last character completed, and the bytes that complete it."""
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
    """Return a bound on the tokens of any closing of a plan: a line's end byte by byte, the longest rest, the end."""
    closer = closer_of(plan)
    rests = [closer.shortest, *closer.longest_rests()]
    return max(len(tokenizer.tokenize_str(rest)) for rest in rests) + closer.longest_line() + 3 + 1


@lru_cache(maxsize=256)
def guidance_grammar(plan: str) -> str:
    """Return the grammar of a plan, given as canonical JSON text, in llguidance's own form."""
    return str(LLMatcher.grammar_from_lark(grammar_of(Plan.from_json(plan))))


@lru_cache(maxsize=4)  # about a second each
def guidance_tokenizer(tokenizer: PreTrainedTokenizerBase, num_tokens: int, end_ids: tuple[int, ...]) -> LLTokenizer:
    """Return llguidance's view of a tokenizer; a model's vocabulary of `num_tokens` may be padded beyond it."""
    return from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=list(end_ids))
