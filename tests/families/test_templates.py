"""Chat templates: the response and its end are learnt, however a template treats thinking and system messages."""

import json
import shutil

import pytest
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from eval.families import changes_of
from eval.models.loading import load_model
from eval.models.options import LoadOptions, resolve_dtype
from eval.models.processors import end_ids_of, load_processor
from eval.models.reading import ModelError
from tests.families.models import INTERNVL_TEMPLATE, template_of
from tests.families.rows import PROMPT, QUESTION, SYSTEM, TRACE

FOLD = LoadOptions(fold_system=True)
WRAPPED = {"qwen3.5-thinking", "smolvlm2", "llava-onevision", "qwen3-text"}


def as_trained(processor):
    """Return a row's prompt and completion as rendered by TRL, and the prompt as rendered for sampling."""
    prompt, completion = list(PROMPT), [{"role": "assistant", "content": TRACE}]
    if hasattr(processor, "tokenizer"):
        prompt, completion = prepare_multimodal_messages(prompt), prepare_multimodal_messages(completion)
    rendered = apply_chat_template({"prompt": prompt, "completion": completion}, processor)
    sampled = processor.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return rendered["prompt"], rendered["completion"], sampled


@pytest.fixture
def with_template(case_of, tmp_path):
    """Return the folder of a family's model with another chat template."""

    def copy(name, template):
        folder = shutil.copytree(case_of(name).model, tmp_path / name)
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        return str(folder)

    return copy


def test_what_is_learnt_is_the_response_and_its_end(case):
    processor = case.processor()
    prompt, completion, sampled = as_trained(processor)
    assert prompt == sampled
    assert completion.startswith(TRACE)
    tokenizer = getattr(processor, "tokenizer", processor)
    model = load_model(str(case.model), dtype=resolve_dtype("float32"))
    end = tokenizer(completion.removeprefix(TRACE), add_special_tokens=False)["input_ids"][0]
    assert end in end_ids_of(model, processor)
    assert SYSTEM in prompt
    assert QUESTION in prompt
    assert prompt.count("<think>") == prompt.count("</think>")


def test_only_templates_that_need_it_are_changed(case):
    assert bool(changes_of(case.processor())) == (case.name in WRAPPED)


def test_a_changed_template_is_saved_and_not_changed_again(case_of, tmp_path):
    processor = case_of("qwen3.5-thinking").processor()
    processor.save_pretrained(tmp_path)
    again = load_processor(str(tmp_path))
    assert again.chat_template == processor.chat_template
    assert changes_of(again) == "renders a completion directly after its prompt, thinking switched off"


def test_earlier_turns_are_rendered_as_the_template_does(case_of):
    """The second answer follows a whole conversation, as in the correction of a response."""
    processor = case_of("llava-onevision").processor()
    talk = prepare_multimodal_messages(
        [*PROMPT, {"role": "assistant", "content": "One."}, {"role": "user", "content": "Again?"}]
    )
    prompt = processor.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert "<|im_start|>assistant \nOne.<|im_end|><|im_start|>user \nAgain?<|im_end|>" in prompt
    whole = processor.apply_chat_template(
        [*talk, {"role": "assistant", "content": [{"type": "text", "text": "Two."}]}], tokenize=False
    )
    assert whole == prompt + "Two.<|im_end|>"


def test_a_block_of_thinking_that_cannot_be_switched_off_is_closed(with_template):
    """As in checkpoints that always think: their prompt ends with an open block."""
    thinks = template_of("qwen3_vl").replace(
        "'<|im_start|>assistant\\n' }}\n{%- endif", "'<|im_start|>assistant\\n<think>\\n' }}\n{%- endif"
    )
    processor = load_processor(with_template("qwen3-vl", thinks))
    prompt, completion, sampled = as_trained(processor)
    assert prompt == sampled
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert completion == TRACE + "<|im_end|>\n"
    assert changes_of(processor).endswith("closes the block of thinking that it opens")


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("qwen3-text", template_of("gemma")),
        (
            "internvl3.5",
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + INTERNVL_TEMPLATE,
        ),
    ],
)
def test_a_refused_system_message_is_folded_into_the_first_user_turn_when_asked(name, template, with_template):
    folder = with_template(name, template)
    with pytest.raises(ModelError, match=r"refuses a system message \(.*\); set fold_system: true"):
        load_processor(folder)
    processor = load_processor(folder, FOLD)
    prompt, completion, sampled = as_trained(processor)
    assert prompt == sampled
    assert f"user\n{SYSTEM}\n\n{QUESTION}" in prompt
    assert completion.startswith(TRACE)
    assert changes_of(processor) == "folds the system message into the first user turn"


def test_a_system_message_that_is_left_out_in_silence_is_found(with_template):
    silent = "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    folder = with_template("qwen3-text", silent + "{% if add_generation_prompt %}assistant: {% endif %}")
    with pytest.raises(ModelError, match="leaves a system message out; set fold_system: true"):
        load_processor(folder)
    assert f"user: {SYSTEM}\n\n{QUESTION}" in as_trained(load_processor(folder, FOLD))[0]


@pytest.mark.parametrize("template", ["{% if %}", "{{ raise_exception('nobody may speak') }}", "{{ messages + 1 }}"])
def test_a_template_that_cannot_be_rendered_is_one_clear_error(template, with_template):
    with pytest.raises(ModelError, match="its chat template cannot be rendered"):
        load_processor(with_template("qwen3-text", template), FOLD)


def test_folding_changes_nothing_where_a_system_message_is_taken(case_of):
    case = case_of("qwen2.5-vl")
    assert case.processor(options=FOLD).chat_template == case.processor().chat_template


def test_a_family_with_code_of_its_own_is_refused_by_name_with_what_to_use(tmp_path):
    record = {"model_type": "internvl_chat", "auto_map": {"AutoConfig": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="InternVL with code of its own; use the checkpoint for transformers"):
        load_processor(str(tmp_path))
