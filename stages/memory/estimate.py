"""Estimates the memory of a stage, part by part, from the shape of its model and of its worst step.

These are formulas; `measure.py` measures. They count, term by term, what autograd keeps of a decoder layer under LoRA,
for transformers' decoder layers with scaled dot product attention (`layers.py`) or with linear attention
(`linear_attention.py`). They do not include fragmentation of the allocator (the resident memory of a CPU process is
well above the estimate), and do not fit other kinds of layers (mixtures of experts).
"""

from dataclasses import dataclass

from stages.memory.layers import saved_by_layer, saved_by_linear_layer
from stages.memory.linear_attention import mixer_pass
from stages.memory.shapes import ModelShape
from stages.memory.step import Step
from stages.memory.vision import VisionShape

GIB = 2**30
CUDA_CONTEXT_BYTES = GIB * 6 // 10
"""Memory without tensors: kernels, cuBLAS work space and rounding by the allocator."""
_NORMS_BEFORE = 2
"""Norms of a layer before attention and feed-forward; a layer with more ends in one."""
TILE_TOKENS, TILE_WORDS = 4096, 32768
"""Size of TRL 1.16's tiles (tokens, words): it projects hidden states to logits tile by tile and keeps no logits."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by part. Training and sampling alternate, so the larger of the two is the peak."""

    training: dict[str, int]
    sampling: dict[str, int]
    """Empty outside GRPO."""

    @property
    def peak(self) -> int:
        """Peak in bytes."""
        return max(sum(self.training.values()), sum(self.sampling.values()))


def estimate(shape: ModelShape, step: Step) -> MemoryEstimate:
    """Return the memory of a stage."""
    resident = resident_bytes(shape, step.stage, step.optimiser)
    if step.shards > 1:
        resident = {part: size // step.shards for part, size in resident.items()} | {"gathered": _gathered(shape)}
    resident |= {"context": CUDA_CONTEXT_BYTES if step.on_gpu else 0}
    training = resident | _training_peak(shape, step) | {"gradients": resident["adapter"]}
    if not step.sampled:
        return MemoryEstimate(training, {})
    held = resident | {"merged weights": shape.merged_bytes if step.shards == 1 else 0}
    phases = sampling_phases(shape, step.sampled, step.tokens, step.learnt, step.image_tokens)
    return MemoryEstimate(training, max((held | phase for phase in phases), key=lambda parts: sum(parts.values())))


def _training_peak(shape: ModelShape, step: Step) -> dict[str, int]:
    """Return the memory at the peak of a pass: at the loss, in a language model layer, or in a vision block."""
    kept, layer, block = _language_activations(shape, step), _layer_work(shape, step), _vision_work(shape, step)
    kept += _vision_activations(shape, step)
    moments = (
        {"activations": kept, "logits": _logits(shape, step)},
        {"activations": kept + layer, "logits": 0},
        {"activations": kept + block, "logits": 0},
    )
    return max(moments, key=lambda parts: sum(parts.values()))


def sampling_phases(
    shape: ModelShape, sequences: int, tokens: int, response: int, image_tokens: int
) -> list[dict[str, int]]:
    """Return the memory of sampling, without weights, in its phases: pictures, prompts, and single tokens.

    Args:
        shape: shape of the model.
        sequences: number of sequences sampled together.
        tokens: tokens of the longest prompt with its response.
        response: tokens of that response.
        image_tokens: image tokens of the prompt.
    """
    prompt = tokens - response
    cache = {length: cache_bytes(shape, sequences, length) for length in (0, prompt, tokens)}
    # float32 logits of the last token, and their softmax
    logits = 3 * 4 * sequences * shape.vocabulary
    pixels = _pixel_bytes(shape, sequences, image_tokens)
    language = sequences * _language_pass(shape, prompt)
    return [
        {"KV cache": cache[0], "activations": pixels + _vision_pass(shape, sequences, image_tokens), "logits": 0},
        {"KV cache": cache[prompt], "activations": pixels + language, "logits": logits},
        # Adding a token copies a layer's cache; `generate` keeps the pictures until it ends.
        {"KV cache": cache[tokens], "activations": pixels + cache[tokens] // shape.full_layers, "logits": logits},
    ]


def cache_bytes(shape: ModelShape, sequences: int, tokens: int) -> int:
    """Return the bytes of the keys and values, and of the states of linear attention."""
    states = shape.linear.layers * shape.linear.state_bytes * sequences if shape.linear else 0
    return 2 * shape.full_layers * shape.key_value * shape.element * sequences * tokens + states


def _gathered(shape: ModelShape) -> int:
    """Return the bytes of unsharded weights on each process: two layers at a time, and embeddings and head always."""
    ends = 2 * shape.vocabulary * shape.hidden * shape.element
    return ends + 2 * max(0, shape.weight_bytes - ends) // shape.layers


def resident_bytes(shape: ModelShape, stage: str, optimiser: str) -> dict[str, int]:
    """Return the bytes of permanent tensors; `measure.py` reads the same from the tensors themselves.

    Args:
        shape: shape of the model.
        stage: sft, dpo or grpo.
        optimiser: name in transformers.
    """
    return {
        "weights": shape.weight_bytes,
        "adapter": shape.num_trainable * 4,
        "reference adapter": shape.num_trainable * 4 if stage != "sft" else 0,
        "optimiser": optimiser_bytes(shape, optimiser),
    }


def optimiser_bytes(shape: ModelShape, optimiser: str) -> int:
    """Return the bytes of AdamW's two moments; a paged optimiser moves them to the host if memory is short."""
    if "paged" in optimiser or optimiser in {"sgd", "adafactor"}:
        return 0
    return 2 * shape.num_trainable * (1 if "8bit" in optimiser else 4)


def _language_activations(shape: ModelShape, step: Step) -> int:
    """Return the memory that all layers keep between their forward and backward pass."""
    layers = shape.layers * shape.element * shape.hidden if step.checkpoints else sum(_saved(shape, step))
    # Twice: as booleans, and in half precision, as attention reads it.
    mask = step.tokens * (shape.element + 1) if shape.has_masks else 0
    return step.sequences * step.tokens * (layers + (4 + shape.element) * shape.hidden + mask)


def _layer_work(shape: ModelShape, step: Step) -> int:
    """Return the additional memory of a layer's backward pass: its recomputed activations and its gradients."""
    saved = max(_saved(shape, step)) if step.checkpoints else 0
    return step.sequences * step.tokens * (saved + max(_projection_work(shape), _norm_work(shape)))


def _projection_work(shape: ModelShape) -> int:
    """Return the bytes of one token's gradients of the last projection's input, which is the widest.

    That gradient exists three times: of the adapter, of the base, and their sum. If the base is dense, peft casts the
    input of a float32 adapter to float32, and its gradient too. If it is quantised, all three are in half precision;
    the input itself, which the layer had kept, is free by then.
    """
    is_cast = not shape.quantised and shape.element < 4
    return (4 + 2 * shape.element if is_cast else 2 * shape.element if shape.quantised else 0) * shape.intermediate


def _norm_work(shape: ModelShape) -> int:
    """Return the bytes of one token in the backward pass of a norm that ends a layer, while it keeps all the rest.

    Five float32 tensors, as the norm's square, mean and product have a gradient each, and the gradient of its output.
    """
    return (5 * 4 + shape.element) * shape.hidden if shape.num_norms > _NORMS_BEFORE else 0


def _saved(shape: ModelShape, step: Step) -> list[int]:
    """Return the bytes that each layer keeps of one token."""
    usual = saved_by_layer(shape, eager_tokens=step.tokens if step.eager else 0)
    linear = [saved_by_linear_layer(shape, shape.linear)] * shape.linear.layers if shape.linear else []
    return [usual] * (shape.layers - len(linear)) + linear


def _patches(shape: ModelShape, step: Step) -> int:
    return step.sequences * step.image_tokens * shape.vision.patches_a_token if shape.vision else 0


def _vision_activations(shape: ModelShape, step: Step) -> int:
    vision = shape.vision
    if vision is None:
        return 0
    pixels = vision.patch_values * (4 + shape.element)
    if step.checkpoints:
        inputs = vision.layers * shape.vision_element * vision.hidden if shape.vision_learns else 0
        return _patches(shape, step) * (pixels + inputs)
    kept = vision.layers * _vision_block(vision, shape.vision_element) if shape.adapts_vision else 0
    return _patches(shape, step) * (pixels + kept)


def _vision_work(shape: ModelShape, step: Step) -> int:
    return _patches(shape, step) * _vision_block(shape.vision, shape.vision_element) if shape.vision else 0


def _vision_block(vision: VisionShape, size: int) -> int:
    """Return the bytes of activations in one block for one patch."""
    norms_and_rotation = 4 * 4 * vision.hidden
    return norms_and_rotation + 6 * size * vision.hidden + 4 * size * vision.intermediate


def _logits(shape: ModelShape, step: Step) -> int:
    tokens = step.sequences * (step.learnt if step.on_gpu else step.tokens)
    tile = min(tokens, TILE_TOKENS) * min(shape.vocabulary, TILE_WORDS)
    # A GPU reduces a tile in place. On a CPU, its exponentials and masks are separate float32 tensors: resident memory
    # grew by 8.3 float32 tiles over forward and backward (4352 tokens, 49152 words).
    return tile * (shape.element if step.on_gpu else 8 * 4) + tokens * shape.hidden * 4


def _language_pass(shape: ModelShape, prompt: int) -> int:
    """Return the memory of the pass over a prompt: the widest part of a layer's feed-forward, and the embeddings.

    An unmerged adapter on quantised weights adds its scaled product to a copy of the base's output.
    """
    feed_forward = (5 if shape.quantised else 3) * shape.element * shape.intermediate
    mixer = mixer_pass(shape.linear, shape.element) if shape.linear else 0
    return prompt * (max(feed_forward, mixer) + 2 * shape.element * shape.hidden + 4 * shape.hidden)


def _pixel_bytes(shape: ModelShape, sequences: int, image_tokens: int) -> int:
    """Return the bytes of pictures as a processor returns them, in float32."""
    vision = shape.vision
    return 4 * sequences * image_tokens * vision.patches_a_token * vision.patch_values if vision else 0


def _vision_pass(shape: ModelShape, sequences: int, image_tokens: int) -> int:
    vision = shape.vision
    if vision is None:
        return 0
    patches = sequences * image_tokens * vision.patches_a_token
    # Without a backward pass a block is widest in its feed-forward; but Qwen's also turn queries and keys in float32.
    plain = shape.element * (3 * vision.intermediate + 5 * vision.hidden)
    block = _vision_block(vision, shape.element) if vision.takes_any_size else plain
    return patches * (vision.patch_values * shape.element + block)
