"""The weights of passes without gradients: an adapter merged into the base, and the base restored afterwards.

When TRL 1.16 passes weights to vLLM, it adds the adapter to the base and subtracts it again, which in bfloat16 does not
restore the base. This was not run with vLLM itself; the tests check it without vLLM.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from peft.tuners.lora import LoraLayer


@contextmanager
def merged(model: Any, adapters: Sequence[str] = ("default",)) -> Iterator[None]:
    """Merge adapters into the base, which saves two small products per layer and token; only without a backward pass.

    Afterwards the original tensors are put back, because subtracting the adapter would leave rounding errors. Quantised
    layers are not merged, because adding to them would round.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    if any(not layer.get_base_layer().weight.is_floating_point() for layer in layers):
        yield
        return
    with kept_weights(model):
        try:
            model.merge_adapter(adapter_names=list(adapters))
            yield
        finally:
            for layer in layers:
                layer.merged_adapters.clear()


def is_exact_when_merged(model: Any) -> bool:
    """Whether merging the active adapter changes log-probabilities by no more than float32's rounding.

    In bfloat16 the rounding of the merged weights would count as a difference between policy and reference.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    if any(layer.disable_adapters for layer in layers):
        return False
    return all(layer.get_base_layer().weight.dtype == torch.float32 for layer in layers)


@contextmanager
def kept_weights(model: Any) -> Iterator[None]:
    """Restore the tensors of the adapted layers at the end of the block.

    It copies the weights of these layers. Quantised layers are not copied, because nothing is added to them in place.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    weights = [layer.get_base_layer().weight for layer in layers]
    weights = [weight for weight in weights if weight.is_floating_point()]
    originals = [weight.data for weight in weights]
    try:
        for weight in weights:
            weight.data = weight.data.clone()
        yield
    finally:
        for weight, original in zip(weights, originals, strict=True):
            weight.data = original


def keeping_weights(sync: Callable[[], None], model: Any) -> Callable[[], None]:
    """Return a sync function that leaves the base unchanged, bit for bit."""

    @wraps(sync)
    def kept_sync() -> None:
        with kept_weights(model):
            sync()

    return kept_sync
