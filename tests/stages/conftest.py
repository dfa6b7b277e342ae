"""A tiny model with random weights and a few rows: enough to test the stages, but not their learning."""

from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import PrinterCallback

from data.files.json_lines import read_rows, write_rows
from data.rows import PreferencePair, Provenance, RolloutPrompt, SFTRow
from eval.models.loading import quiet_libraries
from protocol import Labels, system_prompt
from stages import grpo, sft
from stages.arguments.stage import parse_stage
from stages.inputs.columns import to_dataset
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import Job, Setup
from stages.pocket.model import PocketSizes, build_model, build_processor
from stages.pocket.tokenizer import train_tokenizer
from stages.provenance.manifest import Manifest
from stages.rollouts.record.files import read_rollouts
from stages.rollouts.reward import Judged
from stages.tracking import store
from toolkit.planner import plan_query

SIZES = PocketSizes(
    hidden=48,
    layers=2,
    heads=2,
    intermediate=64,
    vision_hidden=32,
    vision_depth=1,
    vision_heads=2,
    vision_intermediate=32,
)
QUESTION = "What is in the picture?"
PLAN = plan_query(QUESTION, 1)
PROMPT = (
    {"role": "system", "content": system_prompt(PLAN, "compact")},
    {"role": "user", "content": QUESTION},
)
TRACE = "<thinking>\n</thinking>\n<answer>\nA cup.\n</answer>"
PROVENANCE = Provenance("test", "Apache-2.0", "test 1")


@pytest.fixture(autouse=True)
def _one_thread_and_shared_store(tmp_path_factory, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "LOCAL_ROOT", tmp_path_factory.getbasetemp() / "tracking")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model_path(once):
    return once("tiny-model", write_tiny_model)


@pytest.fixture(scope="session")
def parent(once, tiny_model_path):
    """Return the folder of a trained SFT stage, shared by all tests; a test that changes it must copy it first."""

    def train(path):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "LOCAL_ROOT", path)
            paths = {"model": tiny_model_path, "data": write_tiny_rows(path / "data") / "sft.jsonl"}
            sft.run(*parse_stage("sft", short_flags("sft", **paths, output=path / "sft", preflight="false")))

    return once("parent", train) / "sft"


def write_tiny_model(folder):
    tokenizer = train_tokenizer([PROMPT[0]["content"], QUESTION, TRACE])
    build_model(tokenizer, seed=0, sizes=SIZES).save_pretrained(folder)
    build_processor(tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def rows_folder(tmp_path):
    return write_tiny_rows(tmp_path / "data")


def write_tiny_rows(folder):
    (folder / "images").mkdir(parents=True)
    shared = {"kind": "plain", "split": "train", "prompt": PROMPT, "plan": PLAN.to_json(), "provenance": PROVENANCE}
    rows = {"sft": [], "dpo": [], "grpo": []}
    for number in range(12):
        name = f"images/{number}.png"
        Image.new("RGB", (56, 56), (20 * number, 100, 250 - 20 * number)).save(folder / name)
        common = shared | {"query_id": f"q{number}", "images": (name,) if number else ()}
        rows["sft"].append(SFTRow(id=f"s{number}", completion=_answer(TRACE), **common))
        pair = {"chosen": _answer(TRACE), "rejected": _answer("A cup."), "corruption": "x", "expected_codes": ()}
        rows["dpo"].append(PreferencePair(id=f"p{number}", **pair, **common))
        rows["grpo"].append(RolloutPrompt(id=f"r{number}", labels=Labels(), query=QUESTION, **common))
    for stage, stage_rows in rows.items():
        write_rows(folder / f"{stage}.jsonl", stage_rows)
    return folder


def _answer(text):
    return ({"role": "assistant", "content": text},)


@pytest.fixture
def parse(tiny_model_path, rows_folder, tmp_path):
    """Return the arguments of a short stage; keywords override them, None leaves a flag out."""

    def parse_short(stage, **overrides):
        paths = {"model": tiny_model_path, "data": rows_folder / f"{stage}.jsonl", "output": tmp_path / stage}
        return parse_stage(stage, short_flags(stage, **(paths | overrides)))

    return parse_short


def shared_store():
    """Return the environment in which a process uses the store of these tests; a new one takes a second."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{store.LOCAL_ROOT / 'mlflow.db'}"}


def short_flags(stage, **overrides):
    """Return the flags of a short stage; keywords override them, None leaves a flag out."""
    options = {
        "max_steps": 4,
        "save_steps": 2,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "lora_r": 4,
    }
    if stage == "grpo":
        options |= {"num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 8}
    options |= overrides
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


def longer_reward(items):
    """Reward long responses, counted in characters."""
    lengths = [len(text_of(item)) for item in items]
    return [Judged(length / 100, {"length": length}) for length in lengths]


def text_of(item):
    return item.verdict.reading.text


def row_of(item):
    """Return the id of an item's row, which the colour of its picture shows."""
    pictures = item.load_images()
    return f"r{Image.open(BytesIO(pictures[0])).getpixel((0, 0))[0] // 20}" if pictures else "r0"


@pytest.fixture
def make_trainer(parse):
    """Return GRPO's trainer with a new adapter that has an effect, built like in the stage."""

    def make(reward=longer_reward, **options):
        arguments, config = parse("grpo", beta=0.02, **options)
        path = Path(arguments.data)
        Path(arguments.output).mkdir(exist_ok=True)
        rows = read_rows(path, RolloutPrompt)
        model, processor = load_for_training(arguments, config.seed)
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
        manifest = Manifest(
            stage="grpo", model="", model_revision="", parent=None, recipe={}, data={}, seed=config.seed
        )
        job = Job("grpo", arguments, config, rows, manifest, None, grpo.guard(reward, arguments, config))
        trainer = grpo.build_trainer(Setup(job, model, processor, to_dataset(rows, path.parent)))
        trainer.remove_callback(PrinterCallback)
        trainer.current_gradient_accumulation_steps = 1
        return trainer

    with quiet_libraries():
        yield make


def rows_of(trainer, *indices):
    """Return groups of the trainer's rows, like in a generation batch."""
    return [trainer.train_dataset[index] for index in indices for _ in range(trainer.num_generations)]


def rollouts_in(folder):
    return list(read_rollouts(Path(folder)))
