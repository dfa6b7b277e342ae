"""The grammar of a plan handed to vLLM as structured output: the same text that `constrained.py` masks by.

vLLM's "guidance" backend is llguidance, as here. Choose it for the engine (`ENGINE_OPTIONS`): a request cannot, and
the engine's own choice would first try to rewrite the grammar for another library. vLLM does not close a response in
time: what its `max_tokens` cuts off is invalid, so leave room; a budget that cannot do is refused here too.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from eval.policies.constrained import check_budget
from eval.policies.dialects import structured_outputs
from protocol.errors import UserError

__all__ = ["ENGINE_OPTIONS", "sampling_params", "structured_outputs"]

ENGINE_OPTIONS = {"structured_outputs_config": {"backend": "guidance"}}
"""For `vllm.LLM(...)`; `vllm serve` takes `--structured-outputs-config.backend guidance`."""


def sampling_params(
    plans: Sequence[str], tokenizer: Any, *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
) -> list[Any]:
    """Return vLLM's sampling parameters for prompts, each constrained by its plan, for `vllm.LLM.generate`.

    Args:
        plans: the canonical JSON text of each prompt's plan.
        tokenizer: the model's; counts what a valid response needs.
        max_new_tokens: limit of a response.
        temperature: 0 is greedy; else plain sampling, without top-k or top-p.
        seed: of the sampling.

    Raises:
        UserError: vLLM is not installed.
        BudgetError: some plan's shortest valid response needs more tokens.
    """
    check_budget(plans, tokenizer, max_new_tokens)
    try:
        vllm, params = import_module("vllm"), import_module("vllm.sampling_params")
    except ImportError:
        raise UserError("structured outputs need vLLM, which is not installed: pip install vllm") from None
    return [
        vllm.SamplingParams(
            temperature=temperature,
            seed=seed,
            max_tokens=max_new_tokens,
            structured_outputs=params.StructuredOutputsParams(**structured_outputs(plan)),
        )
        for plan in plans
    ]
