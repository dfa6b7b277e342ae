"""The findings of preflight for the tiny model and its rows."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from data.files.json_lines import read_rows, write_rows
from data.rows import PreferencePair, RolloutPrompt, SFTRow
from eval.models.loading import load_config, load_model
from eval.models.processors import load_processor
from protocol import Labels
from stages import sft
from stages.__main__ import app
from stages.errors import StageError
from stages.inputs.columns import read_training_rows
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import Job, Setup
from stages.memory.card import available
from stages.memory.estimate import GIB, estimate, resident_bytes, sampling_phases
from stages.memory.layers import saved_by_layer
from stages.memory.shapes import model_shape, shape_config, weights_bytes
from stages.memory.step import Step, optimiser_of, worst_step
from stages.preflight.findings import problems, worst
from stages.preflight.machine.arithmetic import arithmetic_sections
from stages.preflight.machine.toolchain import toolchain_sections
from stages.preflight.mask import loss_mask, mask_section
from stages.preflight.tokens import histogram, tokens_section
from stages.rehearsal.command import prepare, run_checks
from stages.rehearsal.measure import measure
from stages.rehearsal.stand_in import stand_in_processor
from stages.spec import SPECS
from tests.stages.conftest import TRACE


def sections_of(stage, arguments, config, shape=None, measure_in=None):
    found = run_checks(prepare(stage, arguments, config, shape), measure_in)
    return {section.title: section for section in found}


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_a_sound_stage_passes_every_check(stage, parse, rows_folder):
    if stage == "grpo":  # unlabelled prompts cannot be scored
        path = rows_folder / "grpo.jsonl"
        labels = Labels(text_risk="safe", combined_risk="safe", decision="comply")
        write_rows(path, [replace(row, labels=labels) for row in read_rows(path, RolloutPrompt)])
    sections = sections_of(stage, *parse(stage))
    expected = ["rows", "model", "tokens", "loss", *(["reward"] if stage == "grpo" else []), "disk", "memory"]
    assert list(sections) == expected
    assert problems(sections.values()) == []
    assert "12 rows" in sections["rows"].findings[0].found
    assert "11 rows with images, 1 without" in sections["rows"].findings[1].found


def test_the_histogram_counts_every_row_once():
    lines = histogram([1, 1, 2, 5, 30]).splitlines()
    assert sum(int(line.split()[1]) for line in lines) == 5
    assert lines[0].split()[:2] == ["1-3", "3"]


def test_rows_that_do_not_fit_are_named_with_their_lengths(parse):
    arguments, config = parse("sft", max_tokens=20)
    tokens = sections_of("sft", arguments, config)["tokens"]
    assert tokens.level == "fails"
    assert re.search(r"the limit is 20; 12 rows are longer: s0 \(\d+\), s1", tokens.findings[0].found)
    with pytest.raises(StageError, match=r"sft: tokens: lengths: .* 12 rows are longer"):
        sft.run(arguments, config)


def test_the_longest_completion_of_grpo_is_part_of_the_limit(parse):
    allowed = sections_of("grpo", *parse("grpo", max_tokens=2000, max_completion_length=100))["tokens"]
    assert "the limit is 1900" in allowed.findings[0].found


@pytest.mark.parametrize(
    ("max_length", "level", "words"),
    [
        (40, "fails", "of 2, such as a, nothing would be learnt"),
        (55, "fails", "leaves 0 of 2 rows whole: no completion survives"),
        (65, "warning", "leaves 1 of 2 rows whole"),
        (70, "ok", "leaves 2 of 2 rows whole"),
    ],
)
def test_a_row_whose_prompt_fills_the_window_would_train_on_nothing(max_length, level, words, parse):
    _, config = parse("sft", max_length=max_length)
    section = tokens_section({"a": 60, "b": 70}, {"a": 50, "b": 50}, config, limit=100)
    assert section.findings[1].level == level
    assert words in section.findings[1].found


@pytest.mark.parametrize("ending", ["completion", "chosen"])
def test_the_loss_mask_shown_is_the_one_trained_with(ending, parse, tiny_model_path, rows_folder):
    processor = load_processor(str(tiny_model_path))
    if ending == "completion":
        row = read_rows(rows_folder / "sft.jsonl", SFTRow)[3]
        arguments, config = parse("sft")
        config.completion_only_loss = True
        model, _ = load_for_training(arguments)
        subject = prepare("sft", arguments, config, None)
        from stages.inputs.columns import to_dataset

        job = Job("sft", arguments, config, subject.rows, None, None)
        trainer = sft.build_trainer(Setup(job, model, processor, to_dataset(subject.rows, rows_folder)))
        labels = trainer.data_collator([trainer.train_dataset[3]])["labels"][0]
        learnt = processor.tokenizer.decode(labels[labels != -100])
    else:
        row = read_rows(rows_folder / "dpo.jsonl", PreferencePair)[3]
        learnt = f"{TRACE}<|im_end|>\n"
    mask = loss_mask(row, processor, ending)
    assert mask.learnt == learnt
    assert mask.is_prefix
    assert mask.num_learnt > 0


def test_a_template_that_renders_the_prompt_otherwise_before_a_completion_fails(tiny_model_path, rows_folder):
    processor = load_processor(str(tiny_model_path))
    processor.chat_template = (
        "{% if messages|length > 2 %}again {% endif %}{% for message in messages %}{{ message.role }} {% endfor %}"
    )
    section = mask_section(read_rows(rows_folder / "sft.jsonl", SFTRow)[0], processor)
    assert section.level == "fails"
    assert "the mask misses" in section.findings[0].advice


def test_images_for_a_text_model_and_too_few_prompts_fail(parse):
    sections = sections_of("sft", *parse("sft"), shape="smollm2-135m")
    assert "the model is a text model" in sections["rows"].findings[1].found
    batches = sections_of("grpo", *parse("grpo", max_rows=1))["rows"].findings[-1]
    assert batches.level == "fails"
    left = sections_of("grpo", *parse("grpo"))["rows"].findings[-1]
    assert left.level == "warning"
    assert "2 prompts fill none" in left.found


def test_everything_unusable_is_one_error(parse, rows_folder, tmp_path):
    (rows_folder / "images" / "4.png").write_text("not a picture")
    options = {"model": tmp_path / "nowhere", "reward": "none", "parent": tmp_path / "dpo"}
    with pytest.raises(StageError) as caught:
        prepare("grpo", *parse("grpo", **options), None)
    text = "\n".join(caught.value.problems)
    for words in ("row r4: ", "nowhere", "there is no preset 'none'"):
        assert words in text


def test_the_bytes_of_nf4_are_those_that_bitsandbytes_allocates(tiny_model_path):
    dense = load_model(str(tiny_model_path), dtype=torch.float32)
    quantised = load_model(str(tiny_model_path), dtype=torch.float32, load_in_4bit=True)
    allocated = 0
    for parameter in quantised.parameters():
        allocated += parameter.numel() * parameter.element_size()
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            tensors = [state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
            allocated += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert weights_bytes(dense, load_in_4bit=True) == pytest.approx(allocated, rel=0.01)
    assert weights_bytes(dense, load_in_4bit=False) == sum(4 * each.numel() for each in dense.parameters())


def kept_by_autograd(model, tokens):
    """Return the bytes of storages that autograd keeps between forward and backward, without weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=torch.ones(1, tokens, dtype=torch.long)).logits.sum()
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_activations_of_a_layer_are_those_that_autograd_keeps(dtype, parse):
    """The difference of two lengths removes constant parts; it includes head and last norm, a few percent."""
    arguments, _ = parse("sft", dtype=dtype)
    model, _ = load_for_training(arguments)
    model.train()
    shape = model_shape(model.config, arguments)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        measured = (kept_by_autograd(model, 320) - kept_by_autograd(model, 64)) / 256
    estimated = shape.layers * saved_by_layer(shape)
    assert estimated == pytest.approx(measured, rel=0.35)


def test_two_measured_steps_report_a_peak(parse, tmp_path):
    measured = sections_of("sft", *parse("sft"), measure_in=tmp_path)["measured"]
    assert re.search(r"\d\.\d\d GiB of resident memory", measured.findings[0].found)


# bitsandbytes keeps the moments of tensors with fewer than 4,096 weights in float32; real models have larger ones.
EIGHT_BIT = {"optim": "adamw_8bit", "lora_r": 256}


@pytest.mark.parametrize("flags", [{}, {"load_in_4bit": "true"}, {"load_in_4bit": "true"} | EIGHT_BIT])
@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_weights_adapters_and_optimiser_are_estimated_to_within_a_tenth(stage, flags, parse, tmp_path):
    arguments, config = parse(stage, max_steps=2, **flags)
    rows = read_training_rows(Path(arguments.data), SPECS[stage].row_type, 2)
    measured = measure(stage, arguments, config, rows[0], tmp_path)
    shape = model_shape(load_config(arguments.model), arguments)
    assert measured.tokens > 0 < measured.seconds
    assert measured.parts == pytest.approx(resident_bytes(shape, stage, optimiser_of(config)), rel=0.1)


def test_the_command_ends_with_0_1_or_2(rows_folder, tiny_model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "my-sft.yaml"
    recipe.write_text(f"data: {rows_folder}/sft.jsonl\noutput: {tmp_path}/out\nmodel: {tiny_model_path}\n")
    runner = CliRunner()
    sound = runner.invoke(app, ["preflight", "--config", str(recipe)])
    assert sound.exit_code == 0
    assert "the run can start" in sound.output
    assert "KV cache" not in sound.output
    small = runner.invoke(app, ["preflight", "--config", str(recipe), "--card_gib", "0.001"])
    assert small.exit_code == 1
    assert "the run would fail; problems: 1" in small.output
    wrong = runner.invoke(app, ["preflight", "--config", str(recipe), "--stage", "rlhf"])
    assert "give --stage sft, dpo or grpo" in str(wrong.exception)


def test_a_shape_needs_no_model_and_no_rows(parse, tmp_path):
    arguments, config = parse("grpo", data=tmp_path / "none.jsonl", max_tokens=1024, model="m")
    sections = sections_of("grpo", arguments, config, shape="qwen2.5-vl-3b")
    assert "the longest row that the recipe allows" in sections["rows"].findings[0].found
    assert "KV cache" in sections["memory"].text
    with pytest.raises(StageError, match="max_tokens would state the length"):
        prepare("grpo", *parse("grpo", data=tmp_path / "none.jsonl", model="m"), "qwen2.5-vl-3b")


def test_a_shape_without_a_stand_in_processor_is_checked_by_the_longest_row_of_the_recipe(parse):
    """Gemma's processor cuts no patches that could be imitated; before, this ended in a traceback."""
    section = sections_of("sft", *parse("sft", max_tokens=1024, card_gib=16), shape="gemma-3-4b")["rows"]
    assert (
        "sft.jsonl needs the model's own processor; the longest row that the recipe allows" in section.findings[0].found
    )
    with pytest.raises(StageError, match="is not read; max_tokens would state the length"):
        sections_of("sft", *parse("sft"), shape="gemma-3-4b")


def test_a_shape_counts_image_tokens_by_its_own_patches(parse):
    sections = sections_of("sft", *parse("sft", min_pixels=9216, max_pixels=9216), shape="qwen3-vl-4b")
    assert "a stand-in" in sections["tokens"].findings[1].found
    assert "(9 of images)" in sections["memory"].findings[2].found  # 96 x 96 pixels in cells of 32, not 28


def test_a_preflight_can_be_left_out(parse, capsys):
    sft.run(*parse("sft", max_steps=1, preflight="false"))
    assert "preflight:" not in capsys.readouterr().out
    sft.run(*parse("sft", max_steps=1, seed=1))
    assert "preflight: rows ok, model ok, tokens ok, loss ok, disk ok, memory ok" in capsys.readouterr().out


def test_an_eager_matrix_grows_with_the_square_of_the_tokens(parse):
    arguments, _ = parse("sft")
    shape = model_shape(load_for_training(arguments)[0].config, arguments)
    more = saved_by_layer(shape, eager_tokens=100) - saved_by_layer(shape)
    assert more == 100 * shape.heads * 12
    assert Step(stage="sft", sequences=1, tokens=1, learnt=1, image_tokens=0).sampled == 0


@pytest.mark.parametrize(
    ("dtype", "has_it", "warns"), [("bfloat16", False, 1), ("bfloat16", True, 0), ("auto", False, 0)]
)
def test_a_cpu_without_the_arithmetic_of_a_dtype_is_told_of_before_it_crawls(dtype, has_it, warns, parse, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_it)
    warned = problems(sections_of("sft", *parse("sft", dtype=dtype)).values(), "warning")
    assert sum("arithmetic: dtype: this CPU has no bfloat16 arithmetic" in each for each in warned) == warns
    planned = sections_of("sft", *parse("sft", dtype=dtype, card_gib=24))
    assert "arithmetic" not in planned


@pytest.mark.parametrize(
    ("dtype", "scales", "capability", "level", "words"),
    [
        ("bfloat16", False, (7, 5), "warning", "a card has no bfloat16; PyTorch imitates it"),
        ("float16", False, (7, 5), "fails", "float16 without fp16"),
        ("float16", True, (7, 5), None, ""),
        ("bfloat16", False, (8, 6), None, ""),
    ],
)
def test_a_card_without_bfloat16_is_told_what_it_takes(dtype, scales, capability, level, words, monkeypatch):  # noqa: PLR0917
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    sections = arithmetic_sections(dtype, scales_loss=scales)
    assert [section.level for section in sections] == ([level] if level else [])
    assert words in "".join(section.findings[0].found for section in sections)


@pytest.mark.parametrize("batch", [1, 2])
def test_padding_is_told_beside_what_grouping_would_leave(batch, parse):
    _, config = parse("sft", per_device_train_batch_size=batch)
    lengths = {f"{number}": 10 + 40 * (number % 2) for number in range(40)}
    section = tokens_section(lengths, {}, config, limit=100)
    found = [finding.found for finding in section.findings if finding.what == "padding"]
    shares = [int(share) for line in found for share in re.findall(r"(\d+)%", line)]
    assert (not found) if batch == 1 else (40 > shares[0] > 2 * shares[1])  # a pair of both lengths is 40 % padding


def test_findings_are_ranked():
    assert worst(["ok", "fails", "warning"]) == "fails"
    assert worst([]) == "ok"


def test_a_shape_is_measured_with_random_weights(parse, tiny_model_path, tmp_path):
    arguments, config = parse("sft")
    subject = prepare("sft", arguments, config, None)
    shape = load_config(str(tiny_model_path))
    shape.text_config.vocab_size = 1500  # the tokens of the stand-in tokenizer are the first ones of the shape
    processor = stand_in_processor(subject.rows, shape, arguments)
    stand_in = replace(subject, model_config=shape, processor=processor, stand_in=True)
    sections = {section.title: section for section in run_checks(stand_in, tmp_path)}
    assert "of resident memory" in sections["measured"].findings[0].found
    assert [finding.what for finding in sections["measured"].findings[1:]] == [
        "their time",
        "weights",
        "adapter",
        "reference adapter",
        "optimiser",
    ]
    assert sections["measured"].level == "ok"
    written = load_model(str(tmp_path / "model"), dtype=torch.float32)
    assert written.config.image_token_id == processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")


def test_the_peak_of_the_real_graph_stands_beside_the_estimate(parse):
    arguments, config = parse("sft", dtype="bfloat16", card_gib=24)
    sections = {
        section.title: section for section in run_checks(prepare("sft", arguments, config, None), None, trace=True)
    }
    assert [finding.what for finding in sections["real graph"].findings] == ["training"]
    assert re.search(r"[\d.,]+ MiB, [\d.,]+ estimated", sections["real graph"].findings[0].found)


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU of 16 GiB with a given free memory."""

    def pretend(free_gib):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=16 * GIB))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free_gib * GIB), 16 * GIB))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)

    return pretend


@pytest.mark.parametrize(
    ("card_gib", "free_gib", "size", "name"),
    [
        (24, 16, 16, "a card"),  # the recipe is for a larger card
        (12, 16, 12, "the card of the recipe"),
        (None, 16, 16, "a card"),
        (24, 5.4, 6, "a card, as far as it is free,"),  # another process uses the rest; the context counts as ours
    ],
)
def test_the_smallest_of_named_card_real_card_and_free_memory_counts(card_gib, free_gib, size, name, gpu):
    gpu(free_gib)
    room = available(card_gib)
    assert room.name == name
    assert room.size / GIB == pytest.approx(size, abs=0.01)


def test_without_a_gpu_the_recipes_card_counts_or_this_machines_memory():
    assert available(24) == (24 * GIB, "the card of the recipe")
    assert available(None).name == "this machine"


def test_a_gpu_without_compiler_or_headers_fails_before_the_model_is_loaded(gpu, monkeypatch, tmp_path):
    assert toolchain_sections() == []  # without a GPU nothing is compiled
    gpu(16)
    monkeypatch.setattr("stages.preflight.machine.toolchain.is_triton_available", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    (section,) = toolchain_sections()
    assert [finding.level for finding in section.findings] == ["fails", "fails"]
    assert "neither gcc nor clang" in section.findings[0].found
    assert "Python.h does not exist" in section.findings[1].found
    (tmp_path / "gcc").write_text("")
    (tmp_path / "gcc").chmod(0o755)
    (tmp_path / "Python.h").write_text("")
    (section,) = toolchain_sections()
    assert section.level == "ok"
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "$CC is no-such-compiler" in toolchain_sections()[0].findings[0].found


def test_passes_that_follow_each_other_are_not_added_up(parse):
    """Passes over pictures and prompts follow each other: only the larger one counts."""
    arguments, _ = parse("grpo", dtype="bfloat16")
    shape = model_shape(load_config(arguments.model), arguments)
    step = Step(stage="grpo", sequences=1, tokens=512, learnt=64, image_tokens=256, sampled=8)
    pictures, prompts, token = sampling_phases(shape, 8, 512, 64, 256)
    sampling = estimate(shape, step).sampling
    largest = max(sum(phase.values()) for phase in (pictures, prompts, token))
    held = sum(sampling[part] for part in sampling if part not in {"KV cache", "activations", "logits"})
    assert sum(sampling.values()) == held + largest
    assert pictures["KV cache"] == 0 < prompts["KV cache"] < token["KV cache"]


def test_fsdp_and_zero_3_divide_what_is_resident_and_gather_a_layer_at_a_time(parse, monkeypatch):
    """Four cards of 24 GiB can hold the shards of an unquantised 7B model; one card cannot."""
    arguments, config = parse("sft", dtype="bfloat16")
    shape = model_shape(shape_config("qwen2.5-vl-7b"), arguments)
    whole = Step(stage="sft", sequences=1, tokens=4096, learnt=512, image_tokens=1024, checkpoints=True)
    assert estimate(shape, whole).training["weights"] == shape.weight_bytes
    divided = estimate(shape, replace(whole, shards=4)).training
    assert divided["weights"] == shape.weight_bytes // 4
    assert 0 < divided["gathered"] < shape.weight_bytes / 4
    monkeypatch.setattr(type(config), "world_size", property(lambda _: 4))
    options = {"tokens": 8, "learnt": 4, "image_tokens": 0, "eager": False, "on_gpu": True}
    assert worst_step("sft", config, **options).shards == 1
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert worst_step("sft", config, **options).shards == 4
