"""Makes a tiny random model of each family, with its real model class and processor class, without downloads.

Only the sizes are different. The chat templates are those in TRL. TRL has none for InternVL and LLaVA-OneVision; those
here were written to render the same text as the published ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers.models.got_ocr2 import GotOcr2ImageProcessor
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor
from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.smolvlm.image_processing_smolvlm import SmolVLMImageProcessor
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

from tests.families.vocabulary import byte_level, gemma

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "initializer_range": 0.05,
}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
QWEN_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 32}
TILE = 28
"""Side of a picture for vision towers with fixed tiles, in pixels: 4 x 4 patches, which become 4 or 16 tokens."""
QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
QWEN_VISION_TOKENS = {
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}
LLAVA_TEMPLATE = """\
{% for message in messages -%}
<|im_start|>{{ message.role }} {% for part in message.content if part.type == 'image' %}<image>{% endfor -%}
{% for part in message.content if part.type == 'text' %}{{ '\\n' ~ part.text }}{% endfor %}<|im_end|>
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
INTERNVL_TEMPLATE = """\
{% for message in messages -%}
{{ '<|im_start|>' ~ message.role ~ '\\n' }}
{%- for part in message.content %}
{%- if part.type == 'image' %}{{ '<IMG_CONTEXT>\\n' }}{% elif part.type == 'text' %}{{ part.text }}{% endif %}
{%- endfor %}{{ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


@dataclass(frozen=True)
class Tiny:
    """A tiny model before it is written."""

    model: Any
    processor: Any


Builder = Callable[[Sequence[str]], Tiny]


def write(name: str, texts: Sequence[str], folder: Path) -> Path:
    """Write a family's tiny model and its processor, and return the folder."""
    torch.manual_seed(0)
    tiny = BUILDERS[name](texts)
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    return folder


def template_of(name: str) -> str:
    """Return a published chat template, as in TRL."""
    return files("trl").joinpath("chat_templates", f"{name}.jinja").read_text(encoding="utf-8")


def _qwen_tokenizer(texts: Sequence[str]) -> Any:
    special = (*QWEN_TOKENS, *QWEN_VISION_TOKENS.values())
    names = QWEN_VISION_TOKENS
    return byte_level(texts, special=special, names=names, pad="<|endoftext|>", eos="<|im_end|>")


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    return TEXT | {"vocab_size": len(tokenizer)} | ids | more


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def _rope(*sections: int, **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": list(sections), **more}


def qwen2_5_vl(texts: Sequence[str]) -> Tiny:
    """Qwen2.5-VL."""
    tokenizer = _qwen_tokenizer(texts)
    text = _text(tokenizer, rope_parameters=_rope(2, 3, 3))
    del text["head_dim"]
    vision = QWEN_VISION | {"fullatt_block_indexes": [0]}
    config = hf.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_qwen_ids(tokenizer))
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=16 * 28 * 28),
        video_processor=hf.Qwen2VLVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=template_of("qwen2_5_vl"),
    )
    return Tiny(hf.Qwen2_5_VLForConditionalGeneration(config), processor)


def _qwen3_processor(tokenizer: Any, template: str) -> Any:
    return hf.Qwen3VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(
            patch_size=16, size={"shortest_edge": 32 * 32, "longest_edge": 16 * 32 * 32}
        ),
        video_processor=Qwen3VLVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=template_of(template),
    )


def qwen3_vl(texts: Sequence[str]) -> Tiny:
    """Qwen3-VL."""
    tokenizer = _qwen_tokenizer(texts)
    text = _text(tokenizer, rope_parameters=_rope(4, 2, 2, mrope_interleaved=True))
    vision = QWEN_VISION | {"deepstack_visual_indexes": [0], "num_position_embeddings": 64}
    config = hf.Qwen3VLConfig(text_config=text, vision_config=vision, **_qwen_ids(tokenizer))
    return Tiny(hf.Qwen3VLForConditionalGeneration(config), _qwen3_processor(tokenizer, "qwen3_vl"))


def qwen3_5(texts: Sequence[str], template: str = "qwen3_5_nothink") -> Tiny:
    """Qwen3.5, which has three layers of linear attention for one of full attention; here one of each."""
    tokenizer = _qwen_tokenizer(texts)
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8}
    linear |= {"linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"]}
    rope = _rope(2, 1, 1, mrope_interleaved=True, partial_rotary_factor=0.5)
    text = _text(tokenizer, rope_parameters=rope, **linear)
    vision = QWEN_VISION | {"num_position_embeddings": 64}
    config = hf.Qwen3_5Config(text_config=text, vision_config=vision, **_qwen_ids(tokenizer))
    return Tiny(hf.Qwen3_5ForConditionalGeneration(config), _qwen3_processor(tokenizer, template))


def qwen3_5_thinking(texts: Sequence[str]) -> Tiny:
    """Qwen3.5 with the template of the checkpoints that think by default."""
    return qwen3_5(texts, "qwen3_5_think")


def smolvlm2(texts: Sequence[str]) -> Tiny:
    """SmolVLM2."""
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    names = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
    names |= {"global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"}
    special = ("<|im_end|>", "<|im_start|>", *names.values(), *rows)
    tokenizer = byte_level(texts, special=special, names=names, pad="<|im_end|>", eos="<end_of_utterance>")
    config = hf.SmolVLMConfig(
        text_config={"model_type": "llama"} | _text(tokenizer),
        vision_config=VISION | {"image_size": TILE, "patch_size": 7},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    size = {"size": {"longest_edge": 3 * TILE}, "max_image_size": {"longest_edge": TILE}}
    processor = hf.SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(**size),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(**size),
        image_seq_len=4,
        chat_template=template_of("smolvlm"),
    )
    return Tiny(hf.SmolVLMForConditionalGeneration(config), processor)


def gemma3(texts: Sequence[str]) -> Tiny:
    """Gemma 3."""
    tokenizer = gemma(texts)
    text = _text(tokenizer, sliding_window=64, layer_types=["sliding_attention", "full_attention"])
    text |= {"query_pre_attn_scalar": 16, "bos_token_id": tokenizer.bos_token_id}
    config = hf.Gemma3Config(
        text_config=text,
        vision_config=VISION | {"image_size": TILE, "patch_size": 7, "vision_use_head": False},
        mm_tokens_per_image=4,
        image_token_index=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, end]
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size={"height": TILE, "width": TILE}),
        tokenizer=tokenizer,
        chat_template=template_of("gemma3"),
        image_seq_length=4,
    )
    return Tiny(model, processor)


def internvl(texts: Sequence[str]) -> Tiny:
    """InternVL 3.5, with transformers' own class."""
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    names |= {"video_token": "<video>"}
    special = (*QWEN_TOKENS, *names.values())
    tokenizer = byte_level(texts, special=special, names=names, pad="<|endoftext|>", eos="<|im_end|>")
    config = hf.InternVLConfig(
        text_config={"model_type": "qwen3"} | _text(tokenizer),
        vision_config=VISION | {"image_size": [TILE, TILE], "patch_size": [7, 7]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    processor = hf.InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size={"height": TILE, "width": TILE}, max_patches=9),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size={"height": TILE, "width": TILE}),
        image_seq_length=4,
        chat_template=INTERNVL_TEMPLATE,
    )
    return Tiny(hf.InternVLForConditionalGeneration(config), processor)


def llava_onevision(texts: Sequence[str]) -> Tiny:
    """LLaVA-OneVision."""
    names = {"image_token": "<image>", "video_token": "<video>"}
    special = (*QWEN_TOKENS, *names.values())
    tokenizer = byte_level(texts, special=special, names=names, pad="<|endoftext|>", eos="<|im_end|>")
    sides = (TILE, 2 * TILE, 3 * TILE)
    grids = [[height, width] for height in sides for width in sides]
    text = {"model_type": "qwen2"} | _text(tokenizer)
    del text["head_dim"]
    config = hf.LlavaOnevisionConfig(
        text_config=text,
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False}
        | VISION
        | {"image_size": TILE, "patch_size": 7},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(
            size={"height": TILE, "width": TILE}, image_grid_pinpoints=grids
        ),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size={"height": TILE, "width": TILE}),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_TEMPLATE,
    )
    return Tiny(hf.LlavaOnevisionForConditionalGeneration(config), processor)


def qwen3(texts: Sequence[str]) -> Tiny:
    """Qwen3, a text model."""
    tokenizer = byte_level(texts, special=QWEN_TOKENS, names={}, pad="<|endoftext|>", eos="<|im_end|>")
    tokenizer.chat_template = template_of("qwen3")
    return Tiny(hf.Qwen3ForCausalLM(hf.Qwen3Config(**_text(tokenizer))), tokenizer)


BUILDERS: dict[str, Builder] = {
    "qwen2.5-vl": qwen2_5_vl,
    "qwen3-vl": qwen3_vl,
    "qwen3.5": qwen3_5,
    "qwen3.5-thinking": qwen3_5_thinking,
    "smolvlm2": smolvlm2,
    "gemma3": gemma3,
    "internvl3.5": internvl,
    "llava-onevision": llava_onevision,
    "qwen3-text": qwen3,
}
