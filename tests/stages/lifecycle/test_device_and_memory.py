"""A stage and its machine: a recipe for a card without a GPU, and too little memory."""

import errno

import pytest
import torch

from data.files.json_lines import read_rows
from data.rows import RolloutPrompt
from eval.policies.checkpoint import HFPolicy
from protocol.errors import UserError
from stages import dpo, grpo, sft
from stages.arguments.resolved import describe
from stages.arguments.stage import parse_stage
from stages.curriculum import open_curriculum
from stages.errors import StageError
from stages.lifecycle import device, training
from stages.lifecycle.out_of_memory import is_out_of_memory
from stages.lifecycle.schedule import fit_warmup, num_updates
from stages.memory import peak
from stages.memory.peak import GIB
from stages.progress import ProgressCallback
from stages.provenance.manifest import read_manifest
from tests.conftest import REPOSITORY
from tests.stages.conftest import longer_reward

RECIPES = REPOSITORY / "stages" / "recipes"


def test_a_recipe_for_a_card_is_refused_without_one_and_says_what_is_there(parse, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "_driver", lambda: "580.1")
    with pytest.raises(StageError) as refused:
        sft.run(*parse("sft", card_gib=24))
    said = str(refused.value)
    assert "sft: card_gib: the recipe is made for a card of 24 GiB, and PyTorch finds none" in said
    assert f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda or 'none'}; driver 580.1" in said
    assert "--use_cpu true" in said


def test_a_recipe_for_a_card_trains_on_the_cpu_where_that_is_asked_for(parse):
    folder = sft.run(*parse("sft", card_gib=24, use_cpu="true", max_steps=1))
    assert read_manifest(folder / "manifest.json").device == "cpu"


def test_a_curriculum_for_a_card_is_refused_before_anything_is_made(tmp_path, tiny_model_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = RECIPES / "pocket" / "curriculum.yaml"
    flags = ["--output", str(tmp_path / "run"), "--model", str(tiny_model_path), "--dpo.card_gib", "8"]
    with pytest.raises(StageError, match="dpo: card_gib: the recipe is made for a card of 8 GiB"):
        open_curriculum(recipe, flags)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["pocket", "smollm2-135m"])
def test_the_recipes_for_any_machine_need_no_flag(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for stage in ("sft", "dpo", "grpo"):
        config = RECIPES / model / f"{stage}.yaml"
        device.check_device(stage, *parse_stage(stage, ["--config", str(config), "--model", "m"]))


@pytest.mark.parametrize(
    ("answer", "driver"), [("echo 580.1", "580.1"), ("echo broken; exit 9", "unknown: nvidia-smi")]
)
def test_the_driver_is_what_nvidia_smi_says(answer, driver, tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert device._driver().startswith(driver)
    monkeypatch.setattr(device.shutil, "which", lambda _: None)
    assert device._driver() == "not installed"


@pytest.mark.parametrize(
    ("max_steps", "warmup", "kept"), [(1, 20, 0), (1, 0.05, 0), (2, 20, 1), (8, 20, 4), (8, 3, 3), (8, 0.25, 0.25)]
)
def test_a_warmup_leaves_half_of_the_updates(max_steps, warmup, kept, parse):
    arguments, config = parse("sft", max_steps=max_steps, warmup_steps=warmup)
    fit_warmup("sft", arguments, config, 12)
    assert config.warmup_steps == kept
    (line,) = [line for line in describe(arguments, config) if "warmup_steps" in line]
    assert ("reduced from" in line) == (kept != warmup)
    assert (line.split()[0], float(line.split()[1])) == ("warmup_steps", kept)


@pytest.mark.parametrize("warmup", [20, 0.05])
def test_a_trial_of_one_step_trains(warmup, parse, capsys):
    sft.run(*parse("sft", max_steps=1, warmup_steps=warmup, lr_scheduler_type="cosine"))
    assert "overridden by the flag; reduced from" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
@pytest.mark.parametrize("options", [{}, {"num_train_epochs": 2, "gradient_accumulation_steps": 2}])
def test_updates_are_counted_as_the_trainer_counts_them(stage, options, parse, monkeypatch):
    counted = []

    def stop(_self, _args, state, _control, **_):
        counted.append(state.max_steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(ProgressCallback, "on_train_begin", stop)
    more = {"max_rows": 11, "max_steps": None, "save_steps": 4, "num_train_epochs": 1} | options
    arguments, config = parse(stage, **more)
    run = {"sft": sft.run, "dpo": dpo.run, "grpo": grpo.run}[stage]
    rewards = {"reward": longer_reward} if stage == "grpo" else {}
    with pytest.raises(SystemExit):
        run(arguments, config, **rewards)
    # One row of GRPO has no picture; the other rows fill batches of two.
    assert counted == [num_updates(stage, config, 10 if stage == "grpo" else 11)]


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("shapes do not match"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_failures(error, is_memory):
    assert is_out_of_memory(error) == is_memory
    outer = ValueError("while training")
    outer.__cause__ = error
    assert is_out_of_memory(outer) == is_memory


@pytest.fixture
def out_of_memory_at(monkeypatch):
    """Return a function that raises an out-of-memory error at a step, once."""

    def arm(step):
        def on_step_end(_self, _args, state, _control, **_):
            if state.global_step == step:
                monkeypatch.undo()
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

        monkeypatch.setattr(ProgressCallback, "on_step_end", on_step_end)

    return arm


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_out_of_memory_advises_a_smaller_batch_with_which_the_stage_resumes(stage, parse, out_of_memory_at, capsys):
    run = {"sft": sft.run, "grpo": grpo.run}[stage]
    rewards = {"reward": longer_reward} if stage == "grpo" else {}
    out_of_memory_at(3)
    with pytest.raises(StageError) as stopped:
        run(*parse(stage), **rewards)
    said = str(stopped.value)
    assert "CUDA out of memory. Tried to allocate 2.00 GiB." in said
    assert "more" not in said.splitlines()[0]
    assert "the same stage continues from step 2" in said
    smaller = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    if stage == "grpo":
        smaller = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "steps_per_generation": 2}
    flags = " ".join(f"--{name} {value}" for name, value in smaller.items())
    assert f"{flags}: the same rows per update; the stage continues" in said
    assert "--activation_checkpointing true" in said
    assert "--load_in_4bit true: a quarter of the weights' memory; the stage starts again" in said
    folder = run(*parse(stage, **smaller, activation_checkpointing="true"), **rewards)
    assert "resumes from step 2" in capsys.readouterr().out
    assert read_manifest(folder / "manifest.json").resumed_from_step == 2
    run(*parse(stage), **rewards)
    assert "skipped" in capsys.readouterr().out  # a finished stage is not trained again either


def test_a_smaller_total_is_another_stage(parse, capsys):
    sft.run(*parse("sft", max_steps=1))
    sft.run(*parse("sft", max_steps=1, per_device_train_batch_size=2))
    assert "recipe.rows_per_update was 4, is 2" in capsys.readouterr().out


def test_out_of_memory_in_an_evaluation_advises_fewer_prompts_and_keeps_what_was_answered(
    tiny_model_path, rows_folder, monkeypatch
):
    policy = HFPolicy(tiny_model_path, batch_size=4, max_new_tokens=2)
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    generate, calls = policy.model.generate, []

    def once(**inputs):
        calls.append(inputs)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return generate(**inputs)

    monkeypatch.setattr(policy.model, "generate", once)
    kept = {}
    told = r"sampling 4 prompts together \(CUDA out of memory.*; sample 2 together: --batch-size"
    with pytest.raises(UserError, match=told):
        policy.respond(prompts, rows_folder, keep=lambda place, answer: kept.update({place: answer}))
    assert len(kept) == 5  # the prompt without a picture, and the first batch of those with one
    assert len(policy.respond(prompts, rows_folder, done=kept)) == len(prompts)


def test_out_of_memory_while_sampling_advises_to_sample_less_first(parse, monkeypatch):
    from trl import GRPOTrainer

    def _generate_single_turn(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", _generate_single_turn)
    options = {"per_device_train_batch_size": 4, "steps_per_generation": 2, "gradient_accumulation_steps": 2}
    with pytest.raises(StageError) as stopped:
        grpo.run(*parse("grpo", **options), reward=longer_reward)
    hints = [line for line in str(stopped.value).splitlines() if line.startswith("  ")]
    assert hints[0].startswith("  --steps_per_generation 1: fewer completions sampled together")


def test_the_peaks_of_gpu_and_host_are_in_the_manifest_and_tracked(parse, monkeypatch):
    numbers = {"max_memory_allocated": 3 * GIB, "max_memory_reserved": 4 * GIB}
    resets = []
    before = peak.peak_memory().host

    def measured():
        return peak.PeakMemory(before, numbers["max_memory_allocated"], numbers["max_memory_reserved"])

    monkeypatch.setattr(training, "peak_memory", measured)
    monkeypatch.setattr(training, "start_counting", lambda: resets.append(1))
    folder = sft.run(*parse("sft", max_steps=2))
    manifest = read_manifest(folder / "manifest.json")
    assert (manifest.peak_memory_bytes, manifest.peak_reserved_bytes) == (3 * GIB, 4 * GIB)
    assert manifest.peak_host_bytes == before
    assert resets == [1]
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert '"memory/gpu_allocated_gib": 3.0, "memory/gpu_reserved_gib": 4.0' in lines[-1]
    assert all('"memory/host_gib"' in line for line in lines)


def test_a_gpus_peak_is_what_pytorch_counted_since_the_stage_began(monkeypatch):
    counted = {"allocated": 7, "reserved": 9}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: counted["allocated"])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: counted["reserved"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: counted.update(allocated=1, reserved=2))
    found = peak.peak_memory()
    assert (found.main, found.allocated, found.reserved) == (7, 7, 9)
    peak.start_counting()
    assert peak.peak_memory().numbers()["memory/gpu_allocated_gib"] == 1 / GIB
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert peak.peak_memory().numbers().keys() == {"memory/host_gib"}


@pytest.mark.parametrize(("steps", "is_inert"), [(2, True), (1, True), (4, False)])
def test_a_clip_that_can_never_bind_says_so(steps, is_inert, parse):
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "steps_per_generation": steps}
    arguments, config = parse("grpo", **options, epsilon=0.2, epsilon_high=0.3)
    lines = [line for line in describe(arguments, config) if "epsilon" in line]
    assert len(lines) == (2 if is_inert else 1)  # 0.2 is TRL's default; it is listed because it has a note
    assert all(("no effect: every completion is trained on once" in line) == is_inert for line in lines)
