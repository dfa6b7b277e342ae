"""Checks that the processor or the GPU has instructions for the dtype of a recipe."""

import torch

from eval.models.options import resolve_dtype
from stages.preflight.findings import Finding, Section

_questions = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


_BFLOAT16_SINCE = (8, 0)
"""NVIDIA's first compute capability with bfloat16 (Ampere); on older GPUs PyTorch emulates it."""


def arithmetic_sections(dtype: str, *, scales_loss: bool) -> list[Section]:
    """Return findings if this machine does not support a recipe's dtype; otherwise nothing.

    Without instructions for a dtype, a CPU multiplies matrices in a slow loop. On a CPU with AVX2 only, forward and
    backward of SmolLM2-135M had 5 tokens/s in bfloat16 and 92 in float32 (2,500 tokens, two cores).

    Args:
        dtype: dtype of the recipe.
        scales_loss: whether the recipe scales the loss (`fp16`).
    """
    chosen = resolve_dtype(dtype)
    finding = _on_card(chosen, scales_loss=scales_loss) if torch.cuda.is_available() else _on_cpu(chosen)
    return [Section("arithmetic", (finding,))] if finding else []


def _on_cpu(chosen: torch.dtype) -> Finding | None:
    is_supported = getattr(torch.ops.mkldnn, _questions.get(chosen, ""), None)
    if is_supported is None or is_supported():
        return None
    name = str(chosen).removeprefix("torch.")
    found = f"this CPU has no {name} arithmetic; a step may take twenty times as long as in float32"
    return Finding("warning", "dtype", found, "set dtype: auto or float32")


def _on_card(chosen: torch.dtype, *, scales_loss: bool) -> Finding | None:
    if chosen is torch.bfloat16 and torch.cuda.get_device_capability() < _BFLOAT16_SINCE:
        found = f"{torch.cuda.get_device_name()} has no bfloat16; PyTorch imitates it, slowly"
        return Finding("warning", "dtype", found, "set dtype: float16 and fp16: true (`tritrace fit --card t4`)")
    if chosen is torch.float16 and not scales_loss:
        return Finding("fails", "dtype", "float16 without fp16: small gradients become 0", "set fp16: true")
    return None
