"""Builds a model of its real class whose tensors have shapes but no storage, so that any machine can run its passes.

Everything is on the device "cpu", because the backward pass of fake tensors on "cuda" needs a driver. Two differences
of a GPU are imitated: autocast casts like CUDA's (`cuda_autocast`), and TRL's loss reduces its tiles in place
(`triton_loss`). Attention runs PyTorch's flash kernel for the CPU. It keeps the same tensors as the CUDA kernel:
queries, keys, values, the output and its log-sum-exp.

Numbers that decide shapes, such as the grid of a picture, are real (`RealIntegers`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from math import ceil
from typing import Any

import bitsandbytes as bnb
import torch
import trl.kernels.chunked_logprob as loss_kernels
from bitsandbytes.functional import QuantState
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.quantizers.base import get_keys_to_not_convert

from eval.models.loading import nf4, quiet_libraries
from eval.models.options import resolve_dtype
from stages.arguments.stage import StageArguments
from stages.inputs.loading import fresh_adapter
from stages.memory.shapes import meta_model

_LARGEST_REAL = 2**16
"""Floating point tensors with more elements are always fake."""
_INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default)
_SEQUENCE = 2
"""The axis of tokens in queries of shape (rows, heads, tokens, width)."""
_HALVES = (torch.float16, torch.bfloat16)
_CUDA_FLOAT32 = ("layer_norm", "group_norm", "softmax", "softplus")
"""Operations that CUDA's autocast runs in float32 and the CPU's does not, as far as models use them (torch.amp)."""


@quiet_libraries()
def fake_model(config: Any, arguments: StageArguments, mode: FakeTensorMode) -> Any:
    """Return a fake model with a new float32 adapter, as a stage trains it.

    Args:
        config: the model's configuration.
        arguments: dtype, quantisation and adapter of the stage; the parent's adapter is assumed to be the same.
        mode: the mode of the fake tensors.
    """
    dtype = resolve_dtype(arguments.dtype)
    base = meta_model(config, dtype)
    if arguments.load_in_4bit:
        base = replace_with_bnb_linear(base, get_keys_to_not_convert(base), nf4(dtype))
        base.is_loaded_in_4bit = True
    model = fresh_adapter(base, arguments)
    made: dict[int, Any] = {}
    with mode:
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):  # a GPU uses the stored form of the weights
                module.support_avx512bf16_for_cpu = False
            for store in (module._parameters, module._buffers):  # noqa: SLF001
                for name, tensor in store.items():
                    if tensor is not None:
                        made.setdefault(id(tensor), (tensor, _fake(tensor, dtype)))
                        store[name] = made[id(tensor)][1]
    return model


def _fake(tensor: Any, dtype: torch.dtype) -> Any:
    """Return a fake tensor for a tensor on the meta device, packed to four bits where bitsandbytes does it."""
    if isinstance(tensor, bnb.nn.Params4bit):
        packed: Any = torch.nn.Parameter(
            torch.empty(ceil(tensor.numel() / 2), 1, dtype=torch.uint8), requires_grad=False
        )
        packed.quant_state = _quant_state(tensor, dtype)
        packed.bnb_quantized = True
        return packed
    if not isinstance(tensor, torch.nn.Parameter):
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    kind = torch.float32 if tensor.requires_grad else tensor.dtype  # `training.py` keeps the adapter in float32
    return torch.nn.Parameter(torch.empty(tensor.shape, dtype=kind), requires_grad=tensor.requires_grad)


def _quant_state(weight: Any, dtype: torch.dtype) -> QuantState:
    scales = ceil(weight.numel() / 64)
    second = QuantState(torch.empty(ceil(scales / 256)), blocksize=256, code=torch.empty(256), dtype=torch.float32)
    return QuantState(
        torch.empty(scales, dtype=torch.uint8),
        shape=weight.shape,
        code=torch.empty(16),
        blocksize=64,
        quant_type="nf4",
        dtype=dtype,
        offset=torch.empty(()),
        state2=second,
    )


class RealIntegers(TorchDispatchMode):
    """Computes real values for operations on real tensors only (token ids, grids, masks): they decide shapes.

    No element of a fake tensor equals a number: SmolVLM looks for blank tiles in this way, and drops them.
    """

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation, for real or fake."""
        kwargs = kwargs or {}
        if any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs))):
            if func is torch.ops.aten.eq.Scalar:
                with unset_fake_temporarily():
                    return torch.zeros(args[0].shape, dtype=torch.bool)
            if func in _INDEXING:  # the number of selected elements depends on the values of a mask
                args = (args[0], [place for index in args[1] for place in _places(index)], *args[2:])
            return func(*args, **kwargs)
        if any(isinstance(leaf, torch.device) and leaf.type != "cpu" for leaf in tree_leaves(kwargs)):
            return func(*args, **kwargs)
        with unset_fake_temporarily():
            found = func(*args, **kwargs)
        return found if all(map(_may_be_real, tree_leaves(found))) else func(*args, **kwargs)


def _places(index: Any) -> tuple[Any, ...]:
    is_mask = isinstance(index, torch.Tensor) and not isinstance(index, FakeTensor) and index.dtype == torch.bool
    if not is_mask:
        return (index,)
    with unset_fake_temporarily():
        found: tuple[torch.Tensor, ...] = index.nonzero(as_tuple=True)
    return found


def _may_be_real(value: Any) -> bool:
    is_large = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > _LARGEST_REAL
    return not is_large


@contextmanager
def replaced(owner: Any, **stand_ins: Any) -> Iterator[None]:
    """Replace functions of a module for a while. Unlike modes, this also affects the backward pass."""
    with ExitStack() as stack:
        for name, stand_in in stand_ins.items():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, stand_in)
        yield


def whole_windows() -> AbstractContextManager[None]:
    """Split the attention windows of a vision tower into two parts, whatever their number.

    Flash attention keeps the same memory for many windows as for one. Dozens of windows per block would take most of
    the time of a trace.
    """
    split = torch.split

    def split_in_two(tensor: torch.Tensor, sizes: Any, dim: int = 0) -> Any:
        if dim == _SEQUENCE and isinstance(sizes, list):
            sizes = [sizes[0], sum(sizes[1:])] if len(sizes) > 1 else sizes
        return split(tensor, sizes, dim)

    return replaced(torch, split=split_in_two)


@contextmanager
def cuda_autocast(dtype: torch.dtype) -> Iterator[None]:
    """Autocast like a trainer with `bf16` or `fp16` on a GPU; does nothing for a float32 model."""
    if dtype not in _HALVES:
        yield
        return
    # peft asks whether CUDA autocast is on; `torch.autocast` switches it on only on machines with CUDA.
    torch.set_autocast_enabled("cuda", True)
    try:
        with torch.autocast("cpu", dtype), replaced(functional, **_widening(_CUDA_FLOAT32)):
            yield
    finally:
        torch.set_autocast_enabled("cuda", False)


def _widening(names: Sequence[str]) -> dict[str, Any]:
    """Return functions that first cast to float32, by their names in `torch.nn.functional`."""

    def widening(original: Any) -> Any:
        @wraps(original)
        def widened(*args: Any, **kwargs: Any) -> Any:
            return original(*tree_map(_widened, args), **tree_map(_widened, kwargs))

        return widened

    return {name: widening(getattr(functional, name)) for name in names}


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _HALVES else value


def triton_loss() -> AbstractContextManager[None]:
    """Make TRL's tiled loss use its code for GPUs, whose kernels work in place, without running the kernels."""
    return replaced(
        loss_kernels,
        _use_triton=lambda _device: True,
        _forward_kernel=_Kernel(),
        _backward_kernel=_Kernel(),
        _addmm_fp32=_nothing,
    )


class _Kernel:
    """A Triton kernel that does nothing, whatever its grid."""

    def __getitem__(self, _grid: Any) -> Callable[..., None]:
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    pass
