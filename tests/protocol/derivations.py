"""Checks a text with mask and schema of a plan, and draws sentences of the grammar with its mask."""

from functools import lru_cache

from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from protocol import grammar_of, trace_schema
from protocol.diagnostics import CodeFamily


class Bytes:
    """A tokenizer whose tokens are the bytes."""

    eos_token_id = 256
    bos_token_id = None
    special_token_ids = (256,)
    tokens = (*(bytes([byte]) for byte in range(256)), b"<eos>")

    def __call__(self, text):
        return list(text)


@lru_cache(maxsize=1)
def byte_tokenizer():
    return LLTokenizer(TokenizerWrapper(Bytes()))


@lru_cache(maxsize=64)
def matcher(plan):
    grammar = LLMatcher.grammar_from_lark(grammar_of(plan))
    assert LLMatcher.validate_grammar(grammar, byte_tokenizer()) == ""
    return LLMatcher(byte_tokenizer(), grammar)


def mask_accepts(text, plan):
    one = matcher(plan).deep_copy()
    tokens = [*text.encode(), Bytes.eos_token_id]
    is_accepted = one.validate_tokens(tokens) == len(tokens)
    assert not one.is_error(), one.get_error()
    return is_accepted


def draw_sentence(plan, rng):
    """Choose random bytes that the mask allows; quotes and the end are slightly preferred."""
    one, sentence = matcher(plan).deep_copy(), b""
    while not one.is_accepting():
        bits = int.from_bytes(one.compute_bitmask(), "little")
        allowed = [byte for byte in range(256) if bits >> byte & 1]
        if sentence.endswith(b"<answer>\n"):
            answer = rng.choice(("x", "é\n", "<</answer", "a < b </thinking>\n\n", "🔪 [A]: b=c"))
            choice = f"{answer}\n</answer>".encode()
        elif ord('"') in allowed and rng.random() < 0.1:
            choice = b'"'
        else:
            choice = bytes([rng.choice(allowed)])
        assert one.consume_tokens(list(choice)), (sentence, choice)
        sentence += choice
    return sentence.decode()


@lru_cache(maxsize=64)
def schema_validator(plan):
    Draft202012Validator.check_schema(trace_schema(plan))
    return Draft202012Validator(trace_schema(plan))


def is_well_typed(verdict):
    """Whether every call has its keys. Calls in plain words have none, and count as one fault of structure."""
    return not any(found.family is CodeFamily.TYPING or "in words" in found.message for found in verdict.diagnostics)
