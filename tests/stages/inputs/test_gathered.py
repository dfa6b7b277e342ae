"""An adapter that ZeRO-3 has divided is read whole: a stand-in of DeepSpeed, which takes GPUs, gathers it."""

import contextlib
import sys
from types import SimpleNamespace

import torch

from stages.inputs.loading import adapter_weights

WHOLE = torch.arange(6.0).reshape(2, 3)


@contextlib.contextmanager
def gathered(parameters):
    """Give parameters their data for a while, as `deepspeed.zero.GatheredParameters` does on every process."""
    for parameter in parameters:
        parameter.data = WHOLE.clone()
    yield
    for parameter in parameters:
        parameter.data.fill_(torch.nan)  # what is released is used again
        parameter.data = torch.empty(0)


def test_weights_in_parts_are_gathered_and_kept(monkeypatch):
    zero = SimpleNamespace(GatheredParameters=gathered)  # as in DeepSpeed, no module: `import deepspeed.zero` fails
    monkeypatch.setitem(sys.modules, "deepspeed", SimpleNamespace(zero=zero))
    part = torch.nn.Parameter(torch.empty(0))
    part.ds_id = 7
    model = torch.nn.ModuleDict({"lora_A": torch.nn.ModuleDict({"default": torch.nn.Module()})})
    model["lora_A"]["default"].register_parameter("weight", part)
    weights = adapter_weights(model)
    assert list(weights) == ["lora_A.weight"]
    assert torch.equal(weights["lora_A.weight"], WHOLE)
    assert part.numel() == 0
