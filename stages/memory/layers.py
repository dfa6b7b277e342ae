"""Memory that autograd keeps for one token in a decoder layer with LoRA, counted tensor by tensor."""

from stages.memory.linear_attention import LinearShape, saved_by_mixer
from stages.memory.shapes import ModelShape


def saved_by_layer(shape: ModelShape, *, eager_tokens: int = 0) -> int:
    """Return the bytes that autograd keeps of one decoder layer for one token.

    Args:
        shape: of the model.
        eager_tokens: length of the sequence, where attention keeps its matrix.
    """
    size = shape.element
    # Queries, keys, values, the output, and its logarithm of sums.
    keys = shape.attention if shape.has_masks else shape.key_value
    attention = 2 * size * (shape.attention + keys) + 4 * shape.heads
    matrix = eager_tokens * shape.heads * (4 + 2 * size)
    head_norms = 4 * (shape.attention + shape.key_value) if shape.has_head_norms else 0
    return _around_mixer(shape, num_inputs=5, width=shape.attention) + attention + matrix + head_norms


def saved_by_linear_layer(shape: ModelShape, linear: LinearShape) -> int:
    """Return the same for a layer with linear attention."""
    mixer = saved_by_mixer(linear, shape.element)
    return _around_mixer(shape, num_inputs=4, width=linear.heads * linear.value) + mixer


def _around_mixer(shape: ModelShape, *, num_inputs: int, width: int) -> int:
    """Return the bytes kept for one token outside attention: norms, inputs of projections, and feed-forward.

    Args:
        shape: of the model.
        num_inputs: projections that read the residual stream.
        width: of the attention's output, which the last of its projections reads.
    """
    size, hidden = shape.element, shape.hidden
    # Every norm computes in float32 and keeps its input; nothing else keeps the residual stream.
    norms = shape.num_norms * 4 * hidden
    # LoRA's A keeps its input. With a float32 adapter under bfloat16 every projection casts its own copy. Otherwise
    # projections share their input, and the last one of attention reads the output that attention itself keeps.
    shared = shape.quantised or size == 4
    read = 2 * hidden if shared else num_inputs * hidden + width
    inputs = size * (read + shape.intermediate)
    ranks = 7 * size * shape.lora_r
    # The gate, its activation and what it is multiplied with.
    feed_forward = 3 * size * shape.intermediate
    return norms + inputs + ranks + feed_forward
