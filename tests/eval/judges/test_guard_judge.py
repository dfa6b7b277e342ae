"""The guard judge with real, tiny models in local folders: a classifier and a causal model."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from eval.judges.errors import JudgeError
from eval.judges.guard import HARMFUL, HARMLESS, GuardJudge, _defused
from eval.judges.judgement import Item
from eval.scores.response import Unscored
from protocol import Labels, Risk, diagnose
from tests.eval.judges.judged import PLAN, item

pytestmark = pytest.mark.torch

WORDS = ["[UNK]", "<pad>", "</s>", "safe", "unsafe", "good", "bad", "maybe", *(f"word{n}" for n in range(8))]
NUM_POSITIONS = 64
ANSWERS = [f"word{a} word{b}" for a in range(8) for b in range(4)]


SPECIAL = {"unk_token": WORDS[0], "pad_token": WORDS[1], "eos_token": WORDS[2]}


def tokenizer():
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, WORDS[0]))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=NUM_POSITIONS, **SPECIAL)
    made.chat_template = "{% for turn in messages %}{{ turn.content }} {% endfor %}"
    return made


def save(model, folder):
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier_path(tmp_path_factory):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=NUM_POSITIONS,
        id2label={0: "Safe", 1: "Unsafe"},
        label2id={"Safe": 0, "Unsafe": 1},
    )
    model = BertForSequenceClassification(config)
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(**tokenizer()("word1", answer, return_tensors="pt")).logits for answer in ANSWERS])
    model.classifier.bias.data -= logits.mean(0)  # centred, so that both labels occur
    return save(model, tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def speaker_path(tmp_path_factory):
    """Return a model that reads only the last word: good -> safe, bad -> unsafe, others -> maybe, and then ends."""
    size = len(WORDS)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=NUM_POSITIONS,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=1,
    )
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:  # nothing is added to the embedding of the last word
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    model.model.embed_tokens.weight.data = torch.eye(size)
    following = {"good": "safe", "bad": "unsafe", "safe": "</s>", "unsafe": "</s>", "maybe": "</s>"}
    model.lm_head.weight.data.zero_()
    for index, word in enumerate(WORDS):
        model.lm_head.weight.data[WORDS.index(following.get(word, "maybe")), index] = 1.0
    return save(model, tmp_path_factory.mktemp("speaker"))


def test_a_classifier_says_what_its_probabilities_say(classifier_path):
    model = BertForSequenceClassification.from_pretrained(classifier_path).eval()
    judgements = GuardJudge(classifier_path).judge_all([item(answer, query="word1") for answer in ANSWERS])
    expected = []
    for answer in ANSWERS:
        with torch.inference_mode():
            logits = model(**tokenizer()("word1", answer, return_tensors="pt")).logits[0]
        expected.append(HARMFUL if logits.softmax(-1)[1] >= 0.5 else HARMLESS)
    assert [judgement.safety for judgement in judgements] == expected
    assert set(expected) == {HARMFUL, HARMLESS}


def test_a_speaker_is_taken_at_its_word_and_at_nothing_else(speaker_path):
    judge = GuardJudge(speaker_path)
    assert judge.judge(item("word1 good")).safety == HARMLESS
    assert judge.judge(item("word1 bad")).safety == HARMFUL
    unclear = judge.judge(item("word1 word2")).safety
    assert unclear == Unscored("the guard says neither safe nor unsafe: 'maybe'")


def test_the_rules_say_the_rest(speaker_path):
    labels = Labels(combined_risk=Risk.SAFE, facts=("good",))
    judged = GuardJudge(speaker_path).judge(Item(item("Sure. good").verdict, labels, "word1"))
    assert (judged.safety, judged.helpfulness) == (HARMLESS, 3.0)
    assert "by the guard" in GuardJudge(speaker_path).report()[0]


@pytest.mark.parametrize("path", ["classifier_path", "speaker_path"])
def test_what_is_too_long_or_empty_is_unscored_and_not_cut(path, request):
    judge = GuardJudge(request.getfixturevalue(path))
    assert judge.judge(item("word1 " * NUM_POSITIONS)).safety.reason.startswith("too long for the guard")
    assert judge.judge(item(" ")).safety == Unscored("there is no answer")
    with pytest.raises(ValueError, match=r"Item\.query"):
        judge.judge(Item(diagnose("good", PLAN)))


def test_special_tokens_in_a_text_are_not_special():
    made = tokenizer()
    assert made.eos_token_id in made("good </s> good")["input_ids"]
    assert made.eos_token_id not in made(_defused("good </s> good", made))["input_ids"]


def test_a_folder_that_is_no_guard_is_refused(tmp_path, classifier_path):
    with pytest.raises(JudgeError, match="expected a folder with a model"):
        GuardJudge(tmp_path)
    config = json.loads((classifier_path / "config.json").read_text())
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((classifier_path / name).read_bytes())
    labels = {"id2label": {"0": "POSITIVE", "1": "NEGATIVE"}, "label2id": {"POSITIVE": 0, "NEGATIVE": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config | labels))
    with pytest.raises(JudgeError, match=r"none of its labels \(POSITIVE, NEGATIVE\)"):
        GuardJudge(tmp_path)
