"""The request fields that OpenAI-compatible servers share, and those in which they differ.

All servers accept the fields of `PLAIN`. For fields that a request does not set, servers use the model's own generation
config, such as a repetition penalty, which changes even greedy decoding. So each server gets fields that switch this
off. Each server has its own field for a grammar. The grammar is the plan's Lark grammar in the form of llguidance: the
server must run with that backend (`hint`).

Field names come from: vLLM, "Structured Outputs" (without the `guided_*` fields since 0.12); SGLang, "Structured
Outputs"; llama.cpp, docs/llguidance.md. SGLang and llama.cpp recognise Lark by its first line. `transformers serve`
rejects unknown fields and cannot constrain decoding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.grammar.grammar import grammar_of
from protocol.plans.plan import Plan

PLAIN: Mapping[str, Any] = {"top_p": 1.0, "frequency_penalty": 0.0}
"""Sent with temperature, seed and limit; in `transformers serve` the penalty of 0 switches off a repetition penalty."""

_LARK = "%llguidance {}\n"
"""The first line of a Lark grammar, for servers that also have their own grammar format."""


def structured_outputs(plan: str) -> dict[str, str]:
    """Return the decoding constraint of a plan, given as canonical JSON text.

    These are the keywords of vLLM's `StructuredOutputsParams`, the field `structured_outputs` of a request to its
    server, and the value of that key in TRL's `generation_kwargs`.
    """
    return {"grammar": grammar_of(Plan.from_json(plan))}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The request fields of one kind of server."""

    name: str
    owner: str = ""
    """The owner in the server's list of models, which identifies the server; "" if it does not."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Additional fields that switch off the model's own generation config."""
    constrain: Callable[[str], dict[str, Any]] | None = None
    """Maps a plan's canonical JSON text to the fields that constrain decoding; None if the server cannot."""
    hint: str = ""
    """How to start the server so that it can constrain decoding."""


_NEUTRAL = {"repetition_penalty": 1.0, "top_k": -1, "min_p": 0.0}

DIALECTS = {
    each.name: each
    for each in (
        Dialect("openai"),
        Dialect(
            "vllm",
            "vllm",
            _NEUTRAL,
            lambda plan: {"structured_outputs": structured_outputs(plan)},
            "vllm serve --structured-outputs-config.backend guidance",
        ),
        Dialect(
            "sglang",
            "sglang",
            _NEUTRAL,
            lambda plan: {"ebnf": _LARK + structured_outputs(plan)["grammar"]},
            "python -m sglang.launch_server --grammar-backend llguidance",
        ),
        Dialect(
            "llama.cpp",
            "llamacpp",
            {"repeat_penalty": 1.0, "top_k": 0, "min_p": 0.0},
            lambda plan: {"grammar": _LARK + structured_outputs(plan)["grammar"]},
            "llama.cpp built with -DLLAMA_LLGUIDANCE=ON",
        ),
    )
}
"""Every dialect by name; all servers understand "openai"."""


def dialect_of(owner: str) -> Dialect:
    """Return the dialect of a server by the owner of its models; the plain dialect for an unknown owner."""
    return next((each for each in DIALECTS.values() if each.owner and each.owner == owner), DIALECTS["openai"])
