"""Preflight reports everything that would end or spoil a run: the tests give the same inputs to both.

Models are the tiny model with another template or other settings, like real checkpoints; rows are its rows with one
corrupted row. A run counts as failed if it stops before it writes its adapter.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from data.files.json_lines import read_rows, write_rows
from data.rows import PreferencePair, RolloutPrompt, SFTRow
from eval.models.options import LoadOptions
from eval.models.processors import end_tokens, load_processor, tokenizer_of
from protocol import Decision, Labels, Risk
from protocol.errors import UserError
from stages import dpo, grpo, sft
from stages.arguments.stage import parse_stage
from stages.pocket.tokenizer import END_OF_TURN, PAD
from stages.preflight import trainer
from stages.preflight.findings import problems
from stages.rehearsal.command import prepare, run_checks
from stages.spec import SPECS
from tests.data.pictures.test_pixels import words
from tests.stages.conftest import longer_reward, short_flags, write_tiny_model


def changed(folder, template=None, **files):
    """Change a model's template by a function, and entries of its JSON files; return the folder."""
    if template is not None:
        path = folder / "chat_template.jinja"
        path.write_text(template(path.read_text()))
    for name, entries in files.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


def no_system(text):
    refusal = "{{ raise_exception('System role not supported') }}"
    return "{% if messages[0]['role'] == 'system' %}" + refusal + "{% endif %}" + text


def no_place(text):
    return text.replace("<|vision_start|><|image_pad|><|vision_end|>", "")


def no_end(text):
    kept = "{% if message['role'] != 'assistant' %}<|im_end|>\n{% endif %}{% endif %}{% endfor %}"
    return text.replace("<|im_end|>\n{% endif %}{% endfor %}", kept)


def odd_end(text):
    return no_end(text).replace(
        "{% endif %}{% endif %}{% endfor %}", "{% else %}</s>{% endif %}{% endif %}{% endfor %}"
    )


MODELS = {
    "a template that takes no system message": (
        lambda folder: changed(folder, no_system),
        "its chat template refuses a system message (System role not supported); set fold_system: true",
    ),
    "a template without places for pictures": (
        lambda folder: changed(folder, no_place),
        "places: 11 rows: {row}1: the template writes 0 places <|image_pad|> for 1 pictures",
    ),
    "a template whose end is no token": (
        lambda folder: changed(folder, odd_end),
        "ending: a response ends with '</s>', which is not a token of this model; generation stops at '<|im_end|>'",
    ),
    "a template without an end": (
        lambda folder: changed(folder, no_end),
        "ending: the template writes no token after a response, and generation stops at '<|im_end|>'",
    ),
}


@pytest.fixture
def rows_folder(rows_folder):
    """Return rows with labels: without them, GRPO's reward is always unscored."""
    rows = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    labels = Labels(combined_risk=Risk.SAFE, decision=Decision.COMPLY)
    write_rows(rows_folder / "grpo.jsonl", [replace(row, labels=labels) for row in rows])
    return rows_folder


def other_end(folder):
    return changed(folder, tokenizer_config={"eos_token": PAD}, generation_config={"eos_token_id": 0})


RUNS = {"sft": sft.run, "dpo": dpo.run, "grpo": grpo.run}
LETTERS = {"sft": "s", "dpo": "p", "grpo": "r"}
"""Stage -> first letter of its row ids."""


def spoilt(change, place=3):
    def spoil(folder, stage="sft"):
        rows = read_rows(folder / f"{stage}.jsonl", SPECS[stage].row_type)
        rows[place] = change(rows[place], folder)
        write_rows(folder / f"{stage}.jsonl", rows)

    return spoil


def said(row, text, name="prompt"):
    turns = getattr(row, name)
    return replace(row, **{name: (*turns[:-1], {**turns[-1], "content": text})})


def picture(size):
    def change(row, folder):
        Image.new("RGB", size, "red").save(folder / "images" / "odd.png")
        return replace(row, images=("images/odd.png",))

    return change


def white(row, folder):
    words("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)).save(folder / "images" / "white.png")
    return replace(row, images=("images/white.png",))


ROWS = {
    "a picture that the processor refuses": (
        spoilt(picture((3000, 10))),
        "processor: 1 rows: {row}3: a picture of 3000 x 10 pixels: absolute aspect ratio must be smaller than 200",
    ),
    "a place of a picture in words": (
        spoilt(lambda row, _: said(row, "What is <|image_pad|>?")),
        "special tokens: 1 rows: {row}3: the user's words hold <|image_pad|>, which is markup for this model",
    ),
    "the end of a turn in words": (
        spoilt(lambda row, _: said(row, "Why <|im_end|>?")),
        "special tokens: 1 rows: {row}3: the user's words hold <|im_end|>, which is markup for this model",
    ),
    "an empty completion": (
        spoilt(lambda row, _: said(row, "", "completion" if isinstance(row, SFTRow) else "chosen")),
        "empty: 1 rows: {row}3: the",
    ),
}
ROW_CASES = [
    (stage, case)
    for stage in RUNS
    for case in ROWS
    if (stage, case) != ("grpo", "an empty completion")  # the model has none
]
WARNED = {
    "words in white on nothing": (spoilt(white), "blank: 1 rows: s3: a picture is completely white"),
    "a mark without a picture": (
        spoilt(lambda row, _: said(row, "<image> What is it?")),
        "marks: 1 rows: s3: the prompt holds <image>",
    ),
    "characters that were lost": (
        spoilt(lambda row, _: said(row, "What is in the caf\ufffd?")),
        "lost characters: 1 rows: s3: the user's words hold U+FFFD",
    ),
}


def told(stage, flags, level="fails"):
    """Return the lines of preflight; mistakes in a recipe are reported by every command."""
    try:
        return problems(run_checks(prepare(stage, *parse_stage(stage, flags), None), None), level)
    except UserError as error:
        return str(error).splitlines()


@pytest.mark.parametrize("stage", RUNS)
@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_would_spoil_a_run_is_told_of(case, stage, rows_folder, tmp_path):
    make, wanted = MODELS[case]
    model = make(write_tiny_model(tmp_path / "model"))
    flags = short_flags(stage, model=model, data=rows_folder / f"{stage}.jsonl", output=tmp_path / "out")
    found = told(stage, flags)
    assert any(wanted.replace("{row}", LETTERS[stage]) in line for line in found), found
    with pytest.raises(UserError):
        RUNS[stage](*parse_stage(stage, flags))
    assert not (tmp_path / "out" / "adapter").exists()


@pytest.mark.parametrize(("stage", "case"), ROW_CASES)
def test_a_row_that_would_spoil_a_run_is_told_of_by_name(case, stage, rows_folder, tiny_model_path, tmp_path):
    spoil, wanted = ROWS[case]
    spoil(rows_folder, stage)
    flags = short_flags(stage, model=tiny_model_path, data=rows_folder / f"{stage}.jsonl", output=tmp_path / "out")
    found = told(stage, flags)
    assert any(wanted.replace("{row}", LETTERS[stage]) in line for line in found), found
    assert len(found) == 1  # the other rows are sound and not reported
    with pytest.raises(UserError):
        RUNS[stage](*parse_stage(stage, flags))


@pytest.mark.parametrize("stage", RUNS)
def test_what_preflight_finds_nothing_wrong_with_is_trained(stage, parse):
    """Control: without the corruption, the same rows and model pass, and the run finishes."""
    arguments, config = parse(stage, max_steps=1)
    assert problems(run_checks(prepare(stage, arguments, config, None), None), "fails") == []
    # The default reward of noise is 0, and equal rewards teach nothing.
    reward = {"reward": longer_reward} if stage == "grpo" else {}
    assert (RUNS[stage](arguments, config, **reward) / "adapter").is_dir()


@pytest.mark.parametrize("case", WARNED)
def test_a_row_that_is_probably_not_meant_is_a_warning(case, rows_folder, tiny_model_path, tmp_path):
    spoil, wanted = WARNED[case]
    spoil(rows_folder)
    flags = short_flags("sft", model=tiny_model_path, data=rows_folder / "sft.jsonl", output=tmp_path / "out")
    assert told("sft", flags) == []
    assert any(wanted in line for line in told("sft", flags, "warning"))


@pytest.mark.parametrize(
    ("missing", "options", "reason"),
    [
        ("liger_kernel", None, "liger-kernel is not installed"),
        ("cuda", None, "its kernels are for CUDA"),
        ("triton", None, "its kernels need Triton"),
        (None, {"fused_linear_cross_entropy": True}, "TRL has its own loss"),
        (None, {"swiglu": False}, None),
    ],
)
def test_ligers_kernels_are_refused_by_the_name_of_what_is_missing(missing, options, reason, monkeypatch):
    monkeypatch.setattr(trainer, "find_spec", lambda name: None if name == missing else name)
    monkeypatch.setattr("torch.cuda.is_available", lambda: missing != "cuda")
    config = SimpleNamespace(use_liger_kernel=True, liger_kernel_config=options)
    found = [each.found for each in trainer.trainer_findings(config, None, has_images=False)]
    assert [reason in message for message in found] == ([] if reason is None else [True])


REFUSED_OF = {
    "dpo": [("packing", "true"), ("learning_rate", "nan"), ("report_to", "wandb"), ("loss_type", "no_such")],
    "grpo": [("num_generations", "3"), ("learning_rate", "nan"), ("push_to_hub", "true"), ("loss_type", "no_such")],
}
"""Checks of the other stages' trainers."""
REFUSED = [
    ("packing", "true"),
    ("padding_free", "true"),
    ("report_to", "wandb"),
    ("eval_strategy", "steps"),
    ("learning_rate", "nan"),
    ("learning_rate", "inf"),
    ("learning_rate", "0"),
    ("warmup_ratio", "nan"),
    ("push_to_hub", "true"),
    ("use_liger_kernel", "true"),
    ("load_best_model_at_end", "true"),
    ("eos_token", "<|im_end|>"),
]


@pytest.mark.parametrize(
    "refused",
    [
        *(("sft", key, value) for key, value in REFUSED),
        *((stage, key, value) for stage, pairs in REFUSED_OF.items() for key, value in pairs),
    ],
)
def test_what_the_trainer_would_refuse_is_told_by_its_key(refused, rows_folder, tiny_model_path, tmp_path):
    stage, key, value = refused
    paths = {"model": tiny_model_path, "data": rows_folder / f"{stage}.jsonl", "output": tmp_path / "out"}
    flags = short_flags(stage, **paths, **{key: value})
    found = told(stage, flags)
    assert any(key in line for line in found), found
    with pytest.raises(UserError):
        RUNS[stage](*parse_stage(stage, flags))


def test_a_turn_that_ends_otherwise_than_the_models_files_say_is_told_with_both_tokens(rows_folder, tmp_path):
    model = other_end(write_tiny_model(tmp_path / "model"))
    paths = {"model": model, "data": rows_folder / "sft.jsonl", "output": tmp_path / "out"}
    found = [line for line in told("sft", short_flags("sft", **paths), "warning") if "ending" in line]
    (line,) = found
    assert "ends with '<|im_end|>', and the model's files name '<|endoftext|>': here generation stops at both" in line
    assert line.endswith("set end_token: '<|im_end|>', so that it also stops elsewhere")
    key = {"end_token": END_OF_TURN}
    assert not [line for line in told("sft", short_flags("sft", **paths, **key), "warning") if "ending" in line]
    tokenizer = tokenizer_of(load_processor(str(model), LoadOptions(**key)))
    assert tokenizer.convert_tokens_to_ids(END_OF_TURN) in end_tokens(str(model), tokenizer)
    (line,) = told("sft", short_flags("sft", **paths | {"end_token": "no such token"}))
    assert "end_token 'no such token' is not a token of its tokenizer" in line


def test_markup_in_words_is_escaped_where_the_recipe_says_so(rows_folder, tiny_model_path, tmp_path):
    ROWS["a place of a picture in words"][0](rows_folder)
    paths = {"model": tiny_model_path, "data": rows_folder / "sft.jsonl", "output": tmp_path / "out"}
    flags = short_flags("sft", **paths, special_tokens="escape", max_steps=1, per_device_train_batch_size=12)
    assert told("sft", flags) == []
    assert (sft.run(*parse_stage("sft", flags)) / "adapter").is_dir()


def test_pairs_of_which_nothing_is_learnt_are_a_warning(rows_folder, tiny_model_path, tmp_path):
    rows = read_rows(rows_folder / "dpo.jsonl", PreferencePair)
    rows[3] = replace(rows[3], rejected=rows[3].chosen)
    write_rows(rows_folder / "dpo.jsonl", rows)
    flags = short_flags("dpo", model=tiny_model_path, data=rows_folder / "dpo.jsonl", output=tmp_path / "out")
    assert any("same: 1 rows: p3" in line for line in told("dpo", flags, "warning"))
