"""How much memory a stage takes, part by part, from the shape of its model and of its worst step.

Formulas, not a measurement (that is `measure.py`): what autograd keeps of a decoder layer under LoRA is counted term
by term, for transformers' decoder layers with scaled dot product attention (`layers.py`), or with linear attention in
its place (`linear_attention.py`). Not counted: what an allocator cannot use for being in pieces (the resident memory of
a CPU process is well above the estimate), models whose layers are built otherwise (a mixture of experts).
"""

import os
from dataclasses import dataclass
from typing import Any

from stages.memory.layers import saved_by_layer, saved_by_linear_layer
from stages.memory.linear_attention import mixer_pass
from stages.memory.shapes import ModelShape, VisionShape

GIB = 2**30
CUDA_CONTEXT_BYTES = GIB * 6 // 10
"""Kernels, cuBLAS work space and the allocator's rounding, which no tensor accounts for."""
TILE_TOKENS, TILE_WORDS = 4096, 32768
"""TRL 1.16 projects hidden states to logits in tiles of so many tokens by so many words, and keeps no logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The worst step of a stage, on one device."""

    stage: str
    sequences: int
    """Rows that go through the model together; a pair is two."""
    tokens: int
    """Of the longest of them, prompt, image tokens and completion."""
    learnt: int
    """Tokens of the longest completion."""
    image_tokens: int
    """Of the pictures of a row."""
    sampled: int = 0
    """GRPO: completions sampled together."""
    checkpoints: bool = False
    """Whether activations are computed again in the backward pass."""
    optimiser: str = "adamw_torch_fused"
    eager: bool = False
    """Whether attention keeps its matrix of tokens by tokens."""
    on_gpu: bool = True
    shards: int = 1
    """Processes that the weights are divided over, by FSDP2 or ZeRO-3."""

    @property
    def sampled_tokens(self) -> int:
        """Tokens of the longest response that is sampled; 0 where none is."""
        return self.learnt if self.sampled else 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by part; training and sampling follow each other, and the higher of the two is the peak."""

    training: dict[str, int]
    sampling: dict[str, int]
    """Empty outside GRPO."""

    @property
    def peak(self) -> int:
        """The most at a time, in bytes."""
        return max(sum(self.training.values()), sum(self.sampling.values()))


def estimate(shape: ModelShape, step: Step) -> Estimate:
    """Return what a stage takes."""
    resident = resident_bytes(shape, step.stage, step.optimiser)
    if step.shards > 1:
        resident = {part: size // step.shards for part, size in resident.items()} | {"gathered": _gathered(shape)}
    resident |= {"context": CUDA_CONTEXT_BYTES if step.on_gpu else 0}
    training = resident | _training_peak(shape, step) | {"gradients": resident["adapter"]}
    if not step.sampled:
        return Estimate(training, {})
    held = resident | {"merged weights": shape.merged_bytes if step.shards == 1 else 0}
    phases = sampling_phases(shape, step.sampled, step.tokens, step.learnt, step.image_tokens)
    return Estimate(training, max((held | phase for phase in phases), key=lambda parts: sum(parts.values())))


def _training_peak(shape: ModelShape, step: Step) -> dict[str, int]:
    """Return what a pass holds at its peak: at the loss, in a layer of the language model, or in a vision block."""
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
    """Return what sampling takes beside weights while it reads pictures, prompts, and its own last token.

    Args:
        shape: of the model.
        sequences: sampled together.
        tokens: of the longest prompt with its response.
        response: tokens of that response.
        image_tokens: of the prompt's pictures.
    """
    prompt = tokens - response
    cache = {length: cache_bytes(shape, sequences, length) for length in (0, prompt, tokens)}
    # float32, and its softmax, of the last token alone
    logits = 3 * 4 * sequences * shape.vocabulary
    pixels = _pixel_bytes(shape, sequences, image_tokens)
    language = sequences * _language_pass(shape, prompt)
    return [
        {"KV cache": cache[0], "activations": pixels + _vision_pass(shape, sequences, image_tokens), "logits": 0},
        {"KV cache": cache[prompt], "activations": pixels + language, "logits": logits},
        # A layer's cache is written anew to add a token to it; `generate` keeps the pictures to its end.
        {"KV cache": cache[tokens], "activations": pixels + cache[tokens] // shape.full_layers, "logits": logits},
    ]


def cache_bytes(shape: ModelShape, sequences: int, tokens: int) -> int:
    """Return the bytes of keys and values of so many sequences of so many tokens, and of linear attention's states."""
    states = shape.linear.layers * shape.linear.state_bytes * sequences if shape.linear else 0
    return 2 * shape.full_layers * shape.key_value * shape.element * sequences * tokens + states


def _gathered(shape: ModelShape) -> int:
    """Return the bytes of what is whole on every process: two layers in turn, embeddings and head throughout."""
    ends = 2 * shape.vocabulary * shape.hidden * shape.element
    return ends + 2 * max(0, shape.weight_bytes - ends) // shape.layers


def resident_bytes(shape: ModelShape, stage: str, optimiser: str) -> dict[str, int]:
    """Return the bytes of what is there throughout, which `measure.py` reads from the tensors themselves.

    Args:
        shape: of the model.
        stage: sft, dpo or grpo.
        optimiser: its name in transformers.
    """
    return {
        "weights": shape.weight_bytes,
        "adapter": shape.num_trainable * 4,
        "reference adapter": shape.num_trainable * 4 if stage != "sft" else 0,
        "optimiser": optimiser_bytes(shape, optimiser),
    }


def optimiser_bytes(shape: ModelShape, optimiser: str) -> int:
    """Return the bytes of AdamW's two moments; a paged optimiser moves them out where memory is short."""
    if "paged" in optimiser or optimiser in {"sgd", "adafactor"}:
        return 0
    return 2 * shape.num_trainable * (1 if "8bit" in optimiser else 4)


def _language_activations(shape: ModelShape, step: Step) -> int:
    """Return what is kept of all layers from their forward to their backward pass."""
    layers = shape.layers * shape.element * shape.hidden if step.checkpoints else sum(_saved(shape, step))
    return step.sequences * step.tokens * (layers + (4 + shape.element) * shape.hidden)


def _layer_work(shape: ModelShape, step: Step) -> int:
    """Return what a layer takes in its backward pass beside what is kept: itself again, and gradients on their way.

    Where the base is dense, peft casts the input of a float32 adapter to float32. The widest is that of the last
    projection; its gradient comes back in float32, in half precision, and added to that of the base.
    """
    is_cast = not shape.quantised and shape.element < 4
    working = (4 + 2 * shape.element) * shape.intermediate if is_cast else 0
    return step.sequences * step.tokens * ((max(_saved(shape, step)) if step.checkpoints else 0) + working)


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
        # peft makes the embeddings ask for gradients, those of patches too, so that every block's input is kept.
        return _patches(shape, step) * (pixels + vision.layers * shape.element * vision.hidden)
    kept = vision.layers * _vision_block(vision, shape.element) if shape.adapts_vision else 0
    return _patches(shape, step) * (pixels + kept)


def _vision_work(shape: ModelShape, step: Step) -> int:
    return _patches(shape, step) * _vision_block(shape.vision, shape.element) if shape.vision else 0


def _vision_block(vision: VisionShape, size: int) -> int:
    """Return the bytes of one block's activations for one patch."""
    norms_and_rotation = 4 * 4 * vision.hidden
    return norms_and_rotation + 6 * size * vision.hidden + 4 * size * vision.intermediate


def _logits(shape: ModelShape, step: Step) -> int:
    tokens = step.sequences * (step.learnt if step.on_gpu else step.tokens)
    tile = min(tokens, TILE_TOKENS) * min(shape.vocabulary, TILE_WORDS)
    # A GPU folds a tile in place. On a CPU its exponentials and masks are float32 tensors of their own: resident memory
    # grew by 8.3 tiles of float32 over forward and backward (4352 tokens, 49152 words).
    return tile * (shape.element if step.on_gpu else 8 * 4) + tokens * shape.hidden * 4


def _language_pass(shape: ModelShape, prompt: int) -> int:
    """Return what reading a prompt takes: a layer's feed-forward at its widest, and the embeddings it came from.

    An adapter that is not merged, on quantised weights, adds its own product, scaled, to a copy of the base's.
    """
    feed_forward = (5 if shape.quantised else 3) * shape.element * shape.intermediate
    mixer = mixer_pass(shape.linear, shape.element) if shape.linear else 0
    return prompt * (max(feed_forward, mixer) + 2 * shape.element * shape.hidden + 4 * shape.hidden)


def _pixel_bytes(shape: ModelShape, sequences: int, image_tokens: int) -> int:
    """Return the bytes of pictures as a processor hands them over, in float32."""
    vision = shape.vision
    return 4 * sequences * image_tokens * vision.patches_a_token * vision.patch_values if vision else 0


def _vision_pass(shape: ModelShape, sequences: int, image_tokens: int) -> int:
    vision = shape.vision
    if vision is None:
        return 0
    patches = sequences * image_tokens * vision.patches_a_token
    return patches * (vision.patch_values * shape.element + _vision_block(vision, shape.element))


def worst_step(
    stage: str, config: Any, *, tokens: int, learnt: int, image_tokens: int, eager: bool, on_gpu: bool
) -> Step:
    """Return the worst step of a stage.

    Args:
        stage: sft, dpo or grpo.
        config: TRL's.
        tokens: of the longest row, with its longest completion.
        learnt: of the longest completion.
        image_tokens: of the pictures of a row.
        eager: whether attention keeps its matrix.
        on_gpu: whether it runs on a GPU.
    """
    batch = config.per_device_train_batch_size
    return Step(
        stage=stage,
        sequences=2 * batch if stage == "dpo" else batch,
        tokens=tokens,
        learnt=learnt,
        image_tokens=image_tokens,
        sampled=batch * config.steps_per_generation if stage == "grpo" else 0,
        checkpoints=bool(config.activation_checkpointing),
        optimiser=optimiser_of(config),
        eager=eager,
        on_gpu=on_gpu,
        shards=num_shards(config),
    )


def num_shards(config: Any) -> int:
    """Return over how many processes FSDP2 or ZeRO-3 divides the weights; 1 where each process has all of them."""
    zero = config.deepspeed_plugin
    is_divided = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" or (zero and zero.zero_stage == 3)
    return int(config.world_size) if is_divided else 1


def optimiser_of(config: Any) -> str:
    """Return the name of a stage's optimiser in transformers."""
    return str(getattr(config.optim, "value", config.optim))
