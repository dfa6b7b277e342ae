"""Writes the weights of an export: the adapter, or a model with the adapter merged into its weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from eval.families import turn_end
from eval.models.adapters import CONFIG, WEIGHTS, adapter_folder, load_adapter, read_adapter_config
from eval.models.generation_settings import greedy_settings
from eval.models.loading import load_config, load_model, quiet_libraries
from eval.models.options import LoadOptions, resolve_dtype
from eval.models.processors import end_tokens, load_processor, tokenizer_of
from eval.models.reading import split_gguf
from stages.errors import StageError
from stages.provenance.manifest import Manifest


def write_adapter(stage: Path, manifest: Manifest, folder: Path, options: LoadOptions) -> None:
    """Copy a stage's adapter, and write the processor of its training beside it."""
    source = adapter_folder(stage)
    read_adapter_config(source)  # raises if it is not an adapter or does not match its weights
    for name in (CONFIG, WEIGHTS):  # the folder of an adapter from elsewhere may have any other files
        shutil.copyfile(source / name, folder / name)
    config = folder / CONFIG
    record = json.loads(config.read_text(encoding="utf-8"))
    record |= {"base_model_name_or_path": split_gguf(manifest.model)[0], "inference_mode": True}
    record |= {"revision": manifest.base_commit}
    config.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    processor = load_processor(manifest.model, options)
    processor.save_pretrained(folder)
    declared = end_tokens(manifest.model, tokenizer_of(processor), load_config(manifest.model, options))
    end = turn_end(processor)
    ends = sorted({*declared, *([] if end is None else [end])})
    settings = GenerationConfig(do_sample=False, eos_token_id=ends, pad_token_id=tokenizer_of(processor).pad_token_id)
    settings.save_pretrained(folder)


@quiet_libraries()
def write_merged(stage: Path, manifest: Manifest, folder: Path, dtype: torch.dtype, options: LoadOptions) -> None:
    """Write the base with the adapter added to its weights, in safetensors, and its processor.

    The base is loaded in the dtype of the export. Each layer's sum with the adapter is computed in float32 and rounded
    once; buffers keep their dtype. A base in 4 bits is dequantised first, layer by layer, because the adapter was
    trained with the quantised weights and not with the original ones.

    Raises:
        ModelError: the base cannot be loaded, or the adapter does not belong to it.
        StageError: the quantisation cannot be undone.
    """
    model = load_adapter(_base(manifest, dtype, options), adapter_folder(stage)).merge_and_unload()
    processor = load_processor(manifest.model, options)
    model.generation_config = greedy_settings(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def export_dtype(manifest: Manifest, name: str, options: LoadOptions) -> torch.dtype:
    """Return the dtype of a merged model: the named one; with "auto" the recipe's, or else that of the base's files."""
    if name == "auto":
        name = str(manifest.recipe.get("dtype", "auto"))
    if name != "auto":
        return resolve_dtype(name)
    config = load_config(manifest.model, options)
    stored = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    return stored if isinstance(stored, torch.dtype) else torch.float32


def is_quantised(manifest: Manifest) -> bool:
    """Whether a stage was trained on a base in 4 bits."""
    return bool(manifest.recipe.get("load_in_4bit"))


def _base(manifest: Manifest, dtype: torch.dtype, options: LoadOptions) -> Any:
    in_4bit = is_quantised(manifest)
    # Quantised weights depend on the dtype before quantisation, so it must be the dtype of training.
    first = resolve_dtype(str(manifest.recipe.get("dtype", "auto"))) if in_4bit else dtype
    model = load_model(manifest.model, dtype=first, load_in_4bit=in_4bit, options=options)
    if getattr(model, "hf_quantizer", None) is None:
        return model
    try:
        model = model.dequantize(dtype)
    except (NotImplementedError, ValueError) as error:
        advice = "export the adapter alone, without --merge"
        raise StageError(f"{manifest.model}: its quantisation cannot be undone ({error}); {advice}") from error
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
    return model
