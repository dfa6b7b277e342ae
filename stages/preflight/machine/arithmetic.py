"""Can the processor compute in the dtype of a recipe, or does it only pretend to?"""

import torch

from eval.models.loading import resolve_dtype
from stages.preflight.findings import Finding, Section

_questions = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


def arithmetic_sections(dtype: str) -> list[Section]:
    """Return a warning where a stage would run on a CPU that has no instructions for its dtype, else nothing.

    PyTorch then multiplies matrices by a loop that no library has tuned. Seen on a CPU with AVX2 alone: forward and
    backward of SmolLM2-135M at 5 tokens/s in bfloat16, at 92 in float32 (2,500 tokens, two cores).
    """
    chosen = resolve_dtype(dtype)
    if torch.cuda.is_available() or chosen not in _questions:
        return []
    is_supported = getattr(torch.ops.mkldnn, _questions[chosen], None)
    if is_supported is None or is_supported():
        return []
    name = str(chosen).removeprefix("torch.")
    found = f"this CPU has no {name} arithmetic; a step may take twenty times as long as in float32"
    return [Section("arithmetic", (Finding("warning", "dtype", found, "set dtype: auto or float32"),))]
