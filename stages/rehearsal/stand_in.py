"""Makes a stand-in for a missing model: a processor for token counts, and random weights for memory.

The stand-in tokenizer is that of the pocket model, trained on the rows. The image processor uses the model's patch
size. So the counts of image tokens are right, and the counts of text tokens are approximate.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

from data.rows import TrainingRow
from eval.models.loading import auto_class
from eval.models.options import resolve_dtype
from stages.arguments.stage import StageArguments
from stages.pocket.tokenizer import END_OF_TURN, PAD, VISION_TOKENS, chat_template, train_tokenizer

_config_keys = {
    "image_token_id": "image_token",
    "video_token_id": "video_token",
    "vision_start_token_id": "vision_bos_token",
    "vision_end_token_id": "vision_eos_token",
}


def has_stand_in(model_config: Any) -> bool:
    """Whether pictures can be cut into a model's patches without its own processor: Qwen's, and text models."""
    vision = getattr(model_config, "vision_config", None)
    return vision is None or hasattr(vision, "temporal_patch_size")


def stand_in_processor(rows: Sequence[TrainingRow], model_config: Any, arguments: StageArguments) -> Any:
    """Return a processor with the model's patches, or a tokenizer for a text model."""
    fields = ("prompt", "completion", "chosen", "rejected")
    messages = [message for row in rows for name in fields for message in getattr(row, name, ())]
    tokenizer = train_tokenizer([message["content"] for message in messages])
    vision = getattr(model_config, "vision_config", None)
    if vision is None:
        return tokenizer
    bounds = {name: getattr(arguments, name) for name in ("min_pixels", "max_pixels")}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=vision.patch_size,
            merge_size=vision.spatial_merge_size,
            temporal_patch_size=vision.temporal_patch_size,
            **{name: pixels for name, pixels in bounds.items() if pixels is not None},
        ),
        video_processor=Qwen2VLVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=chat_template(),
    )


def write_random_model(model_config: Any, processor: Any, arguments: StageArguments, folder: Path) -> None:
    """Write a model of a shape with random weights, which can be loaded like any other model, quantised or not.

    The tokens of the stand-in tokenizer are the first ones of the model's vocabulary.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    text = model_config.get_text_config()
    text.eos_token_id, text.pad_token_id = (tokenizer.convert_tokens_to_ids(token) for token in (END_OF_TURN, PAD))
    text.bos_token_id = None
    if hasattr(model_config, "vision_config"):
        for key, name in _config_keys.items():
            setattr(model_config, key, tokenizer.convert_tokens_to_ids(VISION_TOKENS[name]))
    torch.manual_seed(0)
    # Weights that are quantised at loading need not use twice the disk and memory before.
    dtype = torch.bfloat16 if arguments.load_in_4bit else resolve_dtype(arguments.dtype)
    model = auto_class(model_config).from_config(model_config, dtype=dtype)
    model.generation_config.eos_token_id = text.eos_token_id
    model.generation_config.pad_token_id = text.pad_token_id
    model.generation_config.bos_token_id = None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
