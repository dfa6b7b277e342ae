"""Shows the progress of a synthesis, with rate, validity and cost: as a bar on a terminal, as lines in a log."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import typer
from tqdm import tqdm

from data.teacher.conversation import Fate
from data.teacher.synthesis import SynthesisProgress

LINE_SECONDS = 15.0
"""Seconds between two lines in a log."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Price of a million tokens, in any currency."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost of tokens.

        >>> Prices(2.0, 8.0).cost(500_000, 250_000)
        3.0
        """
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


@dataclass(slots=True)
class Display:
    """Shows progress; use it as a context manager."""

    prices: Prices
    bar: Any = None
    started: float = field(default_factory=time.monotonic)
    last_line: float = field(default_factory=time.monotonic)

    def __call__(self, progress: SynthesisProgress) -> None:
        """Show the progress, at a limited rate."""
        if sys.stderr.isatty():
            self._move(progress)
        elif time.monotonic() - self.last_line >= LINE_SECONDS:
            self.last_line = time.monotonic()
            typer.echo(f"synthesize: {self._state(progress)}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def _move(self, progress: SynthesisProgress) -> None:
        if self.bar is None:
            self.bar = tqdm(desc="synthesize", total=progress.num_jobs, unit="row", leave=False)
        self.bar.set_postfix_str(", ".join(self._numbers(progress)), refresh=False)
        self.bar.update(progress.num_done - self.bar.n)
        self.bar.refresh()

    def _state(self, progress: SynthesisProgress) -> str:
        rate = progress.num_done / max(time.monotonic() - self.started, 1e-9)
        return ", ".join([f"{progress.num_done}/{progress.num_jobs} done", f"{rate:.1f}/s", *self._numbers(progress)])

    def _numbers(self, progress: SynthesisProgress) -> Iterator[str]:
        spent = progress.spending
        if progress.validity is not None:
            yield f"valid {progress.validity:.1%}"
        yield f"{spent.num_requests} requests"
        yield f"{spent.prompt_tokens + spent.completion_tokens:,} tokens"
        if self.prices != Prices():
            yield f"cost {self.prices.cost(spent.prompt_tokens, spent.completion_tokens):.4f}"


def summary(progress: SynthesisProgress, prices: Prices) -> Iterator[str]:
    """Yield the lines of a summary; the numbers of the first line add up."""
    fates, spent = progress.fates, progress.spending
    told = ", ".join(f"{fates[fate]} {fate}" for fate in Fate if fate is not Fate.ROW)
    beyond = progress.num_jobs - progress.num_done
    yield f"{progress.num_jobs} wanted: {fates[Fate.ROW]} rows, {told}, {beyond} beyond the quotas"
    if progress.validity is not None:
        yield f"valid {progress.validity:.1%} of what was answered; {progress.num_repaired} rows were repaired"
    yield (
        f"{spent.num_questions} questions answered, {spent.num_cached} of them by the cache; {spent.num_requests} "
        f"requests, {spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens spent, {spent.saved_tokens:,} saved"
    )
    if prices != Prices():
        now = prices.cost(spent.prompt_tokens, spent.completion_tokens)
        before = prices.cost(spent.cached_prompt_tokens, spent.cached_completion_tokens)
        yield f"cost {now:.4f}; the cached replies had cost {before:.4f}"
    if not spent.is_constrained:
        yield "the server refused the plans' grammars; replies are unconstrained"
    for code, count in progress.last_codes.most_common(5):
        yield f"  {count} x {code}"
