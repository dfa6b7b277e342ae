"""Random scores with the mask give valid responses, for any plans, any vocabulary and any sufficient budget."""

import llguidance
import pytest
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from eval.policies.constrained import BudgetError, PlanLogitsProcessor, check_budget, num_tokens_needed
from eval.policies.dialects import structured_outputs
from protocol import Plan, diagnose
from protocol.grammar.closing import closer_of
from toolkit.planner import named_plan
from toolkit.sampling import SamplingPlanner

pytestmark = pytest.mark.torch

PLANS = [named_plan(name).to_json() for name in ("everyday", "alarm", "several", "writing")]
PLANS += [SamplingPlanner(0)(f"question {number}", 1).to_json() for number in range(4)]
PADDING = 5
PAD, END, TURN = "<pad>", "<end>", "<turn>"


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer():
    """Return a byte-level BPE tokenizer, trained on a few responses."""
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer, bpe.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=500,
        special_tokens=[PAD, END, TURN],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([closer_of(plan).shortest for plan in PLANS] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, eos_token=END)


def end_ids(tokenizer):
    return tokenizer.convert_tokens_to_ids([END, TURN])


def sample(tokenizer, plans, max_new_tokens, *, seed=0, favour=None):
    """Sample like `generate`, from random scores over a padded vocabulary; return the tokens of each row."""
    generator = torch.Generator().manual_seed(seed)
    ends, processor = end_ids(tokenizer), PlanLogitsProcessor(plans, tokenizer, end_ids(tokenizer), max_new_tokens)
    ids, is_done = torch.zeros(len(plans), 1, dtype=torch.long), torch.zeros(len(plans), dtype=torch.bool)
    for _ in range(max_new_tokens):
        scores = 4 * torch.randn(len(plans), len(tokenizer) + PADDING, generator=generator)
        scores[:, -PADDING:] += 50  # a mask that is too narrow would allow these
        if favour is not None:
            scores[:, favour] += 20
        probabilities = processor(ids, scores).softmax(dim=1)
        chosen = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        chosen = torch.where(is_done, tokenizer.pad_token_id, chosen)
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        is_done |= torch.isin(chosen, torch.tensor(ends))
        if is_done.all():
            break
    assert is_done.all()
    return ids[:, 1:].tolist()


def check_rows(tokenizer, plans, rows):
    for plan, row in zip(plans, rows, strict=True):
        text = tokenizer.decode(row, skip_special_tokens=True)
        assert diagnose(text, Plan.from_json(plan)).is_valid, text


@pytest.mark.parametrize("budget", ["least", "tight", "ample"])
def test_random_scores_give_a_valid_response_of_each_rows_own_plan(tokenizer, budget):
    least = max(num_tokens_needed(plan, tokenizer) for plan in PLANS)
    max_new_tokens = {"least": least, "tight": least + 20, "ample": least + 300}[budget]
    check_rows(tokenizer, PLANS, sample(tokenizer, PLANS, max_new_tokens))


def test_a_row_has_exactly_the_room_it_needs(tokenizer):
    for plan in PLANS:
        check_rows(tokenizer, [plan], sample(tokenizer, [plan], num_tokens_needed(plan, tokenizer)))


@pytest.mark.parametrize("piece", [b"\xc3", b"\xf0", b"\\", b'"', b"\n", b"<", b" "], ids=repr)
def test_whatever_a_model_insists_on_the_response_is_closed_in_time(tokenizer, piece):
    """The budget ends in the middle of a character, an escape or a quoted text."""
    favoured = tokenizer.convert_tokens_to_ids(_letter(piece))
    plans = PLANS[:3]
    for extra in (7, 60):
        max_new_tokens = max(num_tokens_needed(plan, tokenizer) for plan in plans) + extra
        check_rows(tokenizer, plans, sample(tokenizer, plans, max_new_tokens, favour=favoured))


def _letter(piece):
    """Return the letter for a byte in byte-level BPE."""
    value = piece[0]
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return chr(value) if value in kept else chr(256 + others.index(value))


def test_a_finished_row_may_only_end_while_others_go_on(tokenizer):
    plan, ends = PLANS[0], end_ids(tokenizer)
    text = closer_of(plan).shortest
    short, long = (tokenizer(each)["input_ids"] for each in (text, text.replace("x\n</", f"{'x ' * 40}x\n</")))
    written = [[*short, ends[1], *[tokenizer.pad_token_id] * (len(long) - len(short))], [*long, ends[0]]]
    processor = PlanLogitsProcessor([plan, plan], tokenizer, ends, 2 * len(long))
    scores, ids = torch.zeros(2, len(tokenizer) + PADDING), torch.zeros(2, 1, dtype=torch.long)
    for place, pair in enumerate(zip(*written, strict=True)):
        allowed = processor(ids, scores) > -torch.inf
        assert allowed[1, pair[1]]
        assert allowed[0, pair[0]] or place > len(short)
        if place >= len(short):
            assert allowed[0].nonzero()[:, 0].tolist() == sorted(ends)
        ids = torch.cat([ids, torch.tensor([*pair])[:, None]], dim=1)


def test_a_budget_too_small_is_told_before_anything_is_sampled(tokenizer):
    needed = [num_tokens_needed(plan, tokenizer) for plan in PLANS[:2]]
    with pytest.raises(BudgetError) as raised:
        PlanLogitsProcessor([*PLANS[:2], PLANS[0]], tokenizer, end_ids(tokenizer), min(needed) - 1)
    message = str(raised.value)
    assert f"max_new_tokens {min(needed) - 1} is too small" in message
    assert f"needs {needed[0]} (rows 0, 2)" in message
    assert f"needs {needed[1]} (rows 1)" in message
    assert f"give at least {max(needed)}" in message
    check_budget(PLANS[:2], tokenizer, max(needed))


def test_rows_without_a_plan_are_refused(tokenizer):
    processor = PlanLogitsProcessor(PLANS[:2], tokenizer, end_ids(tokenizer), 300)
    with pytest.raises(ValueError, match="4 rows for 2 plans"):
        processor(torch.zeros(4, 1, dtype=torch.long), torch.zeros(4, len(tokenizer)))


@pytest.mark.parametrize("plan", PLANS)
def test_the_backend_of_vllm_takes_the_grammar_and_means_the_same(tokenizer, plan):
    """The steps of vLLM's guidance backend: `grammar_from("grammar", ...)`, `validate_grammar`, then a matcher."""
    guidance = from_tokenizer(tokenizer, len(tokenizer) + PADDING)
    grammar = llguidance.grammar_from("grammar", structured_outputs(plan)["grammar"])
    assert LLMatcher.validate_grammar(grammar, guidance) == ""
    matcher = LLMatcher(guidance, grammar)
    tokens = tokenizer(closer_of(plan).shortest)["input_ids"]
    assert matcher.consume_tokens(tokens)
    assert matcher.is_accepting()
    assert LLMatcher(guidance, grammar).validate_tokens(tokens[1:]) == 0
