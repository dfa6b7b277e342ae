"""Compares the lengths of rows, with expanded image tokens, with the limits of the model and the recipe."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.inputs.grouping import STRATEGY, LengthGroups, padding_share
from stages.preflight.findings import Finding, Section

NUM_BINS = 10
BAR_WIDTH = 40
NUM_SHOWN = 20
"""Maximum number of overlong rows to list; the rest are counted."""


def tokens_section(
    lengths: Mapping[str, int], prompts: Mapping[str, int], config: Any, *, limit: int, stand_in: bool = False
) -> Section:
    """Check the lengths of rows.

    Args:
        lengths: id -> tokens of a row with its longest completion; for a rollout prompt, tokens of the prompt.
        prompts: id -> tokens of a row's prompt; used only if the recipe truncates (`max_length`).
        config: TRL's options.
        limit: maximum tokens of a row, or in GRPO of a prompt.
        stand_in: whether a stand-in tokenizer counted the tokens.
    """
    long = {name: length for name, length in lengths.items() if length > limit}
    found = f"{min(lengths.values())} to {max(lengths.values())} tokens a row, the limit is {limit}"
    findings = [Finding("ok", "lengths", found)]
    if long:
        advice = "shorten or drop these rows, lower max_pixels, or raise max_tokens if the model's window allows it"
        named = ", ".join(f"{name} ({length})" for name, length in list(long.items())[:NUM_SHOWN])
        more = f" and {len(long) - NUM_SHOWN} more" if len(long) > NUM_SHOWN else ""
        findings = [Finding("fails", "lengths", f"{found}; {len(long)} rows are longer: {named}{more}", advice)]
    if getattr(config, "max_length", None) is not None:
        findings.append(_cut(lengths, prompts, config.max_length))
    if stand_in:
        findings.append(
            Finding("warning", "tokenizer", "a stand-in, trained on these rows, counted; the model's own will differ")
        )
    findings += _padding(list(lengths.values()), config)
    return Section("tokens", tuple(findings), histogram(list(lengths.values())))


def _padding(lengths: Sequence[int], config: Any) -> Iterator[Finding]:
    """Report how much of a batch is padding, by the order of rows; nothing where a row is alone, and in GRPO."""
    rows = config.per_device_train_batch_size
    if rows == 1 or hasattr(config, "num_generations"):
        return
    shuffled = random.Random(0).sample(range(len(lengths)), len(lengths))
    grouped = list(LengthGroups(lengths, rows * config.gradient_accumulation_steps, seed=0))
    shares = [padding_share(lengths, order, rows) for order in (shuffled, grouped)]
    found = f"{shares[0]:.0%} of {rows} rows at random, {shares[1]:.0%} with train_sampling_strategy: {STRATEGY}"
    yield Finding("ok", "padding", found)


def histogram(values: Sequence[int]) -> str:
    """Return a histogram of whole numbers as text, one bin per line.

    >>> print(histogram([1, 1, 2, 5]))
        1-1     2 ########################################
        2-2     1 ####################
        3-3     0
        4-4     0
        5-5     1 ####################
    """
    low, high = min(values), max(values)
    width = max(1, -(-(high - low + 1) // NUM_BINS))
    counts = [0] * (-(-(high - low + 1) // width))
    for value in values:
        counts[(value - low) // width] += 1
    lines = []
    for number, count in enumerate(counts):
        first = low + number * width
        bar = "#" * max(1, round(BAR_WIDTH * count / max(counts))) if count else ""
        lines.append(f"{first:>5}-{first + width - 1:<5} {count:>3} {bar}".rstrip())
    return "\n".join(lines)


def _cut(lengths: Mapping[str, int], prompts: Mapping[str, int], max_length: int) -> Finding:
    """Check TRL's truncation: a row whose prompt fills the window would silently train nothing."""
    whole = sum(length <= max_length for length in lengths.values())
    empty = [name for name, length in prompts.items() if length >= max_length]
    found = f"max_length {max_length} leaves {whole} of {len(lengths)} rows whole"
    advice = "leave max_length out: rows that are too long are then reported and not cut"
    if empty:
        return Finding("fails", "cut", f"{found}; of {len(empty)}, such as {empty[0]}, nothing would be learnt", advice)
    if whole == 0:
        return Finding("fails", "cut", f"{found}: no completion survives", advice)
    return Finding("ok" if whole == len(lengths) else "warning", "cut", found, "" if whole == len(lengths) else advice)
