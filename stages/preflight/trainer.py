"""Checks the conditions of the trainers before a model is loaded.

The conditions are those of TRL 1.16 and transformers 5.23, which check them after minutes of loading or in the middle
of a run. Conditions that do not depend on data are checked when the recipe is read (`stages/arguments/stage.py`).
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from stages.inputs.loading import has_vision
from stages.preflight.findings import Finding


class _Rule(NamedTuple):
    key: str
    holds: Callable[[Any, bool, bool], bool]
    """Arguments: TRL's config, whether the rows have images, and whether the model accepts images."""
    reason: str
    advice: str


_RULES = (
    _Rule(
        "packing",
        lambda c, images, _: images and c.packing,
        "rows with images cannot be packed",
        "set it to false; train_sampling_strategy: group_by_length keeps padding small",
    ),
    _Rule(
        "padding_free",
        lambda c, images, _: images and c.padding_free,
        "rows with images need padding",
        "set it to false",
    ),
    _Rule(
        "precompute_ref_log_probs",
        lambda c, images, _: images and c.precompute_ref_log_probs,
        "not for rows with images",
        "set it to false",
    ),
    _Rule(
        "truncation_mode",
        lambda c, images, _: images and c.max_length is not None and c.truncation_mode == "keep_end",
        "keep_end would cut the pictures away",
        "leave max_length out",
    ),
    _Rule(
        "use_transformers_continuous_batching",
        lambda c, _, sees: sees and c.use_transformers_continuous_batching,
        "not for vision-language models",
        "set it to false, or use_vllm: true",
    ),
    _Rule("use_vllm", lambda c, *_: c.use_vllm and find_spec("vllm") is None, "vLLM is not installed", "install it"),
    _Rule(
        "use_liger_kernel",
        lambda c, *_: c.use_liger_kernel and find_spec("liger_kernel") is None,
        "liger-kernel is not installed",
        "install it, or set it to false",
    ),
    _Rule(
        "use_liger_kernel",
        lambda c, *_: c.use_liger_kernel and not torch.cuda.is_available(),
        "its kernels are for CUDA, and PyTorch finds none",
        "set it to false",
    ),
    _Rule(
        "use_liger_kernel",
        lambda c, *_: c.use_liger_kernel and find_spec("triton") is None,
        "its kernels need Triton, which is not installed",
        "install it, or set it to false",
    ),
    _Rule(
        "liger_kernel_config",
        lambda c, *_: c.use_liger_kernel and bool((c.liger_kernel_config or {}).get("fused_linear_cross_entropy")),
        "TRL has its own loss in tiles, which Liger's would replace",
        "leave fused_linear_cross_entropy out",
    ),
    _Rule("sync_ref_model", lambda c, *_: c.sync_ref_model, "not with an adapter", "set it to false"),
    _Rule(
        "loss_type",
        lambda c, *_: "exo_pair" in (c.loss_type or ()) and c.label_smoothing == 0,
        "exo_pair needs label smoothing",
        "set label_smoothing: 1e-3",
    ),
)


def trainer_findings(config: Any, processor: Any, *, has_images: bool) -> list[Finding]:
    """Report the violated conditions of a trainer; empty if there are none."""
    found = []
    for rule in _RULES:
        if not hasattr(config, rule.key):
            continue
        if rule.holds(config, has_images, has_vision(processor)):
            found.append(Finding("fails", rule.key, f"{getattr(config, rule.key)}: {rule.reason}", rule.advice))
    return found
