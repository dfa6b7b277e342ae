"""Estimates how long a step and a stage take on a card, from the card's figures alone.

A pass takes the time of its arithmetic or the time to read the weights, whichever is longer. A sampled token takes the
time to read the weights and the KV cache and to start the kernels of each layer. Four-bit weights are unpacked in every
pass. The shares of the card's peak are assumptions, stated below; `make gpu-check` measures the real times.
"""

from dataclasses import dataclass

from stages.fit.cards import Card
from stages.memory.shapes import ModelShape
from stages.memory.step import Step

ARITHMETIC = 0.4
"""Share of the peak arithmetic that a pass reaches; assumed."""
BANDWIDTH = 0.7
"""Share of the memory's bandwidth that a pass reaches; assumed."""
LAUNCH_SECONDS = 0.4e-3
"""Time to start a layer's kernels from Python, for one token; assumed: about 20 kernels of 20 microseconds."""
UNMERGED = 1.5
"""Factor on this time if the adapter is not merged: its products are further kernels."""
TYPICAL = 0.5
"""Length of the typical row, as a share of the longest that is allowed. Responses are assumed to have full length."""
NF4_BYTES = 4.5
"""Bytes moved for a weight: it is read packed, written unpacked, and read again."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds of one update."""

    training: float
    sampling: float = 0.0

    @property
    def total(self) -> float:
        """Sum of both."""
        return self.training + self.sampling


def update_seconds(shape: ModelShape, step: Step, card: Card, accumulation: int) -> Seconds:
    """Return the seconds of an update.

    Args:
        shape: shape of the model.
        step: the step of the stage, with its longest row.
        card: the card that it runs on.
        accumulation: number of batches in an update.
    """
    tokens = round(TYPICAL * (step.tokens - step.sampled_tokens)) + step.sampled_tokens
    passes = 3 if step.checkpoints else 2  # forward, backward to the adapter alone, and forward again
    passes += step.stage != "sft"  # the reference's
    flops = _pass_flops(shape, step.sequences, tokens, step.image_tokens)
    training = accumulation * passes * _pass_seconds(shape, flops, card)
    if not step.sampled:
        return Seconds(training)
    calls = accumulation * step.sequences / step.sampled
    return Seconds(training, calls * _call_seconds(shape, step, tokens, card))


def _pass_flops(shape: ModelShape, sequences: int, tokens: int, image_tokens: int) -> float:
    text = 2 * shape.num_text * tokens + 2 * shape.full_layers * shape.attention * tokens**2
    vision = 2 * shape.num_vision * image_tokens * (shape.vision.patches_a_token if shape.vision else 0)
    return sequences * (text + vision)


def _pass_seconds(shape: ModelShape, flops: float, card: Card) -> float:
    arithmetic = flops / (ARITHMETIC * card.tflops * 1e12)
    return max(arithmetic, _reading(shape, card)) + (_reading(shape, card) if shape.quantised else 0.0)


def _call_seconds(shape: ModelShape, step: Step, tokens: int, card: Card) -> float:
    """Return the seconds of one call of `generate`: a pass over the prompts, then a response of full length."""
    prompt = tokens - step.sampled_tokens
    first = _pass_seconds(shape, _pass_flops(shape, step.sampled, prompt, step.image_tokens), card)
    cache = 2 * shape.full_layers * shape.key_value * shape.element * step.sampled * (prompt + step.sampled_tokens / 2)
    arithmetic = 2 * shape.num_text * step.sampled / (ARITHMETIC * card.tflops * 1e12)
    reading = _reading(shape, card) + cache / (BANDWIDTH * card.bandwidth_gb_s * 1e9)
    starting = shape.layers * LAUNCH_SECONDS * (UNMERGED if shape.quantised else 1.0)
    return first + step.sampled_tokens * max(arithmetic, reading, starting)


def _reading(shape: ModelShape, card: Card) -> float:
    size = NF4_BYTES if shape.quantised else shape.element
    return shape.num_text * size / (BANDWIDTH * card.bandwidth_gb_s * 1e9)
