"""Memory of a layer with a gated delta net instead of attention (Qwen3.5), as computed by the code of transformers.

This code runs if `flash-linear-attention` is not installed: everything in float32, chunk by chunk. The tensors of
`torch_chunk_gated_delta_rule` (transformers 5.23) are counted one by one; the kernels of that package keep less.
"""

from dataclasses import dataclass
from typing import Any

CHUNK = 64
"""Tokens that are computed together."""
_FLOAT32 = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearShape:
    """The linear attention of a model; widths in elements."""

    layers: int
    heads: int
    """Of the values, to which queries and keys are repeated."""
    key: int
    """Of a head."""
    value: int
    """Of a head."""
    mixed: int
    """Of queries, keys and values together, which go through a convolution."""

    @property
    def state_bytes(self) -> int:
        """Bytes that a layer keeps of a sequence, whatever its length."""
        return _FLOAT32 * self.heads * self.key * self.value


def linear_shape(text: Any) -> LinearShape | None:
    """Return the linear attention of a text configuration; None where it has none."""
    count = sum(kind == "linear_attention" for kind in getattr(text, "layer_types", None) or ())
    if not count:
        return None
    heads, key, value = text.linear_num_value_heads, text.linear_key_head_dim, text.linear_value_head_dim
    mixed = 2 * text.linear_num_key_heads * key + heads * value
    return LinearShape(layers=count, heads=heads, key=key, value=value, mixed=mixed)


def saved_by_mixer(linear: LinearShape, size: int) -> int:
    """Return the bytes that autograd keeps of one layer's mixer for one token, its projections' inputs apart.

    Args:
        linear: the layer's shape.
        size: bytes of an element of the hidden states.
    """
    convolution = 2 * size * linear.mixed  # its input, and what its activation reads
    states = linear.key * linear.value // CHUNK  # one for each chunk
    # In float32: queries and keys, cast and normalised; keys weighted by beta, and corrected by the solver; values,
    # cast and corrected by the solver; for each pair of a chunk its decay, and what the solver inverts.
    whole = 6 * linear.key + 2 * linear.value + 2 * CHUNK + states
    # Autocast copies both factors of every product to half precision: within a chunk four times keys or queries, with
    # two results; then decayed keys twice, queries, corrected values twice, the attention of a chunk, and states twice.
    copies = 7 * linear.key + 2 * linear.value + 3 * CHUNK + 2 * states
    rule = linear.heads * (_FLOAT32 * whole + size * copies)
    width = linear.heads * linear.value
    gate = 3 * _FLOAT32 * width + 2 * size * width  # normalised, gated, and the gate, in float32; its output
    return convolution + rule + gate


def mixer_pass(linear: LinearShape, size: int) -> int:
    """Return the bytes of one layer's mixer for one token where nothing is kept for a backward pass."""
    rule = _FLOAT32 * linear.heads * (7 * linear.key + 4 * linear.value + 4 * CHUNK)
    return 2 * size * linear.mixed + rule
