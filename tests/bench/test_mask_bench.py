"""What the decoding mask costs a token: `make bench`. A plain `pytest` runs each once.

One row, along reference responses of five calls: the mask over the whole vocabulary and the consumption of the token,
without the model. The large vocabulary has the size and kind of SmolLM2's (byte-level BPE, 49,152 entries), which would
have to be downloaded; this one is trained on Python's own sources, a small one where nothing is timed. The median is
over tokens, not over runs.
"""

import statistics
import sysconfig
import time
from pathlib import Path

import pytest
from llguidance import LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from data.pocket.world import generate
from data.synthesis import reference_response
from eval.constrained import guidance_grammar, guidance_tokenizer
from protocol import system_prompt
from stages.pocket.tokenizer import train_tokenizer
from toolkit.planner import plan_query

LARGE = 49_152


@pytest.fixture(scope="module")
def responses():
    """Forty responses of five calls, each with the JSON text of its plan."""
    found = []
    for query in (item.query for item in generate("train", 400, seed=0)):
        plan = plan_query(query.text, 1)
        response = reference_response(query, plan)
        if len(response.trace.calls) == 5:
            found.append((response.render(), plan))
    return found[:40]


def large_tokenizer(_, *, is_timed):
    """Return byte-level BPE over sources of Python's standard library."""
    size, num_files = (LARGE, 1200) if is_timed else (1000, 5)
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer, bpe.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    paths = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))[:num_files]
    bpe.train_from_iterator((path.read_text(encoding="utf-8", errors="ignore") for path in paths), trainer)
    assert bpe.get_vocab_size() == size
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


def pocket_tokenizer(responses, *, is_timed):  # noqa: ARG001
    """Return the pocket model's kind of tokenizer, over the responses and their prompts."""
    return train_tokenizer([text for text, plan in responses for text in (text, system_prompt(plan, "compact"))])


@pytest.mark.benchmark(group="mask of one row, a token")
@pytest.mark.parametrize("make", [large_tokenizer, pocket_tokenizer])
def test_mask_and_consume(benchmark, responses, make):
    tokenizer = make(responses, is_timed=benchmark.enabled)
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
