"""Computes the peak memory of a stage from its real graph: forward and backward pass on tensors without storage.

    tritrace preflight --config FILE --trace

PyTorch's memory tracker sums up the live storages after each operation (`torch.distributed._tools`). The same passes as
in TRL are run: for SFT and GRPO a forward and backward pass; for DPO also the reference's pass; for GRPO also the pass
over the prompts and the pass of the last token with the whole KV cache. Adapters, gradients and moments exist as
tensors. The CUDA context and fragmentation are not included.

A 3B model takes about a minute, without allocating its memory.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import DynamicCache
from trl.kernels.chunked_logprob import ChunkedLogProbFunction

from eval.models.loading import quiet_libraries
from eval.models.options import resolve_dtype
from stages.arguments.stage import StageArguments
from stages.memory.estimate import TILE_WORDS, resident_bytes
from stages.memory.fake_inputs import model_inputs, next_inputs
from stages.memory.fake_model import RealIntegers, cuda_autocast, fake_model, triton_loss, whole_windows
from stages.memory.shapes import ModelShape
from stages.memory.step import Step
from stages.spec import SPECS


class PeakTracker(MemTracker):
    """The tracker without statistics per module, which take most of the time and allow only one pass."""

    def _pre_fw_hook(self, *_: Any) -> None: ...
    def _post_fw_hook(self, *_: Any) -> None: ...
    def _pre_bw_hook(self, *_: Any) -> None: ...
    def _post_bw_hook(self, *_: Any) -> None: ...

    @property
    def peak(self) -> int:
        """Peak bytes so far."""
        return max(self._peak_mem.values(), default=0)


@quiet_libraries()
def traced_peaks(config: Any, arguments: StageArguments, shape: ModelShape, step: Step) -> dict[str, int]:
    """Return the peak bytes of a stage's phases: "training", and "sampling" for GRPO.

    Args:
        config: the model's configuration.
        arguments: options of the stage.
        shape: shape of the model, for the permanent tensors.
        step: the worst step.

    Raises:
        StageError: the inputs of the model's family are not known here.
    """
    peaks = {"training": _peak(_train, config, arguments, shape, step)}
    if step.sampled:
        peaks["sampling"] = _peak(_sample, config, arguments, shape, step)
    return peaks


def _peak(run: Any, config: Any, arguments: StageArguments, shape: ModelShape, step: Step) -> int:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = fake_model(config, arguments, mode)
    resident = resident_bytes(shape, step.stage, step.optimiser)
    windows = nullcontext() if step.eager else whole_windows()
    with mode, RealIntegers(), windows, triton_loss():
        held = [torch.empty(resident[part], dtype=torch.uint8) for part in ("reference adapter", "optimiser")]
        tracker = PeakTracker()
        tracker.track_external(model, *held)
        with tracker, cuda_autocast(resolve_dtype(arguments.dtype)):
            run(model, config, shape, step)
    return tracker.peak


def _train(model: Any, config: Any, _shape: ModelShape, step: Step) -> None:
    model.train()
    for parameter in model.parameters():
        if parameter.requires_grad:  # they exist from the first accumulated batch on
            parameter.grad = torch.empty_like(parameter)
    inputs = model_inputs(config, step.sequences, step.tokens, step.image_tokens)
    if step.checkpoints:
        model.enable_input_require_grads()
        model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
    scores = _scores(model, inputs, step)
    if step.stage == "dpo":
        model.get_base_model().activation_checkpointing_disable()
        with torch.no_grad():
            _scores(model, inputs, step)
        if step.checkpoints:
            model.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
    scores.sum().backward()


def _scores(model: Any, inputs: Mapping[str, Any], step: Step) -> torch.Tensor:
    """Return the log-probabilities of the learnt tokens, with TRL's own loss."""
    base = model.get_base_model()
    hidden = base.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    learnt = hidden[:, -step.learnt :].reshape(-1, hidden.shape[-1])
    head = base.get_output_embeddings()
    targets = torch.zeros(len(learnt), dtype=torch.long)
    outputs = SPECS[step.stage].loss_outputs
    scores: torch.Tensor = ChunkedLogProbFunction.apply(
        learnt, head.weight, head.bias, targets, 1.0, TILE_WORDS, None, 1.0, outputs
    )[0]
    return scores


def _sample(model: Any, config: Any, shape: ModelShape, step: Step) -> None:
    model.eval()
    base = model.get_base_model()
    merged = torch.empty(shape.merged_bytes, dtype=torch.uint8)
    with torch.no_grad(), nullcontext() if shape.quantised else model.disable_adapter():
        prompt = step.tokens - step.learnt
        cache = DynamicCache(config=config.get_text_config())
        inputs = model_inputs(config, step.sampled, prompt, step.image_tokens)
        found = base(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        chosen = _choose(found.logits)
        del found, inputs
        _extend(cache, step.tokens - 1 - prompt)
        last = next_inputs(config, chosen, step.tokens)
        _choose(base(**last, past_key_values=cache, use_cache=True).logits)
    del merged


def _choose(logits: torch.Tensor) -> torch.Tensor:
    """Return one token per sequence, with the operations of transformers: float32, temperature, softmax."""
    scores = logits[:, -1].float()
    torch.softmax(scores / 1.0, dim=-1)
    return torch.zeros(len(scores), 1, dtype=torch.long)


def _extend(cache: DynamicCache, more: int) -> None:
    """Add space for further tokens to every layer that keeps keys and values."""
    for layer in cache.layers:
        keys = getattr(layer, "keys", None)
        if isinstance(keys, torch.Tensor) and keys.dim() == 4:
            rows, heads, _, width = keys.shape
            layer.update(*(torch.empty(rows, heads, more, width, dtype=keys.dtype) for _ in range(2)))
