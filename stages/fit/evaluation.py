"""How an evaluation samples: the longest response, and the number of prompts that fit the memory together."""

from typing import TYPE_CHECKING

import torch

from eval.models.loading import load_config, quiet_libraries
from stages.arguments.stage import parse_stage
from stages.errors import StageError
from stages.inputs.lengths import model_limit
from stages.memory.card import available
from stages.memory.estimate import CUDA_CONTEXT_BYTES, GIB, sampling_phases
from stages.memory.shapes import ModelShape, model_shape
from stages.preflight.check import COMFORT
from stages.provenance.trust import load_options

if TYPE_CHECKING:
    from stages.provenance.manifest import Manifest
    from stages.results.subjects import UnloadedCheckpoint

BATCHES = (64, 32, 16, 8, 4, 2, 1)
USUAL_RESPONSE, SHORT_RESPONSE = 1024, 256
USUAL_PROMPT = 2048
"""Tokens of a long prompt with a picture, if no recipe gives a length."""
USUAL_PIXELS = 1003520
"""Tokens of a large picture, if no recipe bounds them."""


def response_limit(manifest: "Manifest | None") -> int:
    """Return the maximum tokens of a response, for an evaluation that was given none.

    GRPO's recipe gives this number. For the other stages it is a quarter of the row's length.
    """
    if manifest is None:
        return USUAL_RESPONSE
    recipe = manifest.recipe
    if manifest.stage == "grpo":
        return int(recipe.get("max_completion_length") or SHORT_RESPONSE)
    return max(SHORT_RESPONSE, int(recipe.get("max_tokens") or 0) // 4)


@quiet_libraries()
def fitted_batch(subject: "UnloadedCheckpoint", response: int) -> int:
    """Return how many prompts of a checkpoint can be sampled together here.

    Raises:
        ModelError: there is no such model.
    """
    recipe = subject.manifest.recipe if subject.manifest else {}
    config = load_config(subject.model, load_options(subject.manifest, subject.permissions))
    flags = {"dtype": recipe.get("dtype", "auto"), "load_in_4bit": subject.load_in_4bit, "lora_target": "all-linear"}
    arguments, _ = parse_stage(
        "sft", ["--model=m", "--data=d", "--output=o", *(f"--{key}={value}" for key, value in flags.items())]
    )
    try:
        shape = model_shape(config, arguments)
    except StageError:  # no layers to adapt; an evaluation needs none
        return BATCHES[-1]
    longest = int(recipe.get("max_tokens") or USUAL_PROMPT + response)
    pixels = int(recipe.get("max_pixels") or USUAL_PIXELS)
    tokens = min(max(longest, response + 1), model_limit(config))
    context = CUDA_CONTEXT_BYTES if torch.cuda.is_available() else 0
    picture = shape.vision.tokens_of(pixels) if shape.vision else 0
    return eval_batch_size(shape, tokens, response, picture, available(None).size / GIB, context=context)


def eval_batch_size(
    shape: ModelShape, tokens: int, response: int, image_tokens: int, gib: float, *, context: int = CUDA_CONTEXT_BYTES
) -> int:
    """Return the largest batch that fits, and at least 1.

    Args:
        shape: the model's. A quantised model keeps the adapter beside the weights; otherwise it is merged into them.
        tokens: length of the longest prompt with its response.
        response: length of this response, in tokens.
        image_tokens: tokens of the prompt's pictures.
        gib: memory of the card.
        context: bytes that a process takes before its first tensor.
    """
    adapter = 4 * shape.num_trainable if shape.quantised else 0
    held = {"weights": shape.weight_bytes, "adapter": adapter, "context": context}
    for batch in BATCHES:
        phases = sampling_phases(shape, batch, tokens, response, image_tokens)
        if max(sum((held | phase).values()) for phase in phases) <= COMFORT * gib * GIB:
            return batch
    return BATCHES[-1]
