"""What OpenAI-compatible servers have in common, and in which fields of a request they differ.

All of them take the fields of `PLAIN`. Servers fill in what a request leaves open from the model's own generation
config, such as a repetition penalty that shifts greedy decoding too; so each is told otherwise in its own words. A
grammar is handed to each under its own name. The text is the plan's Lark grammar, which llguidance reads: the server
has to run with that backend (`hint`).

Names from: vLLM, "Structured Outputs" (the `guided_*` fields are gone since 0.12); SGLang, "Structured Outputs", and
llama.cpp, docs/llguidance.md, which tell Lark from their own grammars by its first line. `transformers serve` refuses
fields that it does not know and constrains nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.grammar import grammar_of
from protocol.plan import Plan

PLAIN: Mapping[str, Any] = {"top_p": 1.0, "frequency_penalty": 0.0}
"""Beside temperature, seed and limit; in `transformers serve` the penalty of 0 takes back a repetition penalty."""

_LARK = "%llguidance {}\n"
"""The first line of a Lark grammar, for servers that also have grammars of their own."""


def structured_outputs(plan: str) -> dict[str, str]:
    """Return the constraint of a plan, given as canonical JSON text.

    These are the keywords of vLLM's `StructuredOutputsParams`, the field `structured_outputs` of a request to its
    server, and the value of that key in TRL's `generation_kwargs`.
    """
    return {"grammar": grammar_of(Plan.from_json(plan))}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a kind of server is spoken to."""

    name: str
    owner: str = ""
    """Whom its list of models names as the owner, by which it is recognised; "" where that tells nothing."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Fields beyond OpenAI's that switch off what the model's own generation config would add."""
    constrain: Callable[[str], dict[str, Any]] | None = None
    """From a plan's canonical JSON text to the fields that constrain decoding; None where the server cannot."""
    hint: str = ""
    """What the server needs for that."""


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
"""Every dialect by name; "openai" is what all servers understand."""


def dialect_of(owner: str) -> Dialect:
    """Return the dialect of a server by the owner of its models; the plain one where that tells nothing."""
    return next((each for each in DIALECTS.values() if each.owner and each.owner == owner), DIALECTS["openai"])
