"""Compares the estimate with the peak of the real graph, for real classes with few layers; a bench has whole models."""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import LlavaConfig

from stages.arguments.stage import parse_stage
from stages.errors import StageError
from stages.memory.estimate import estimate
from stages.memory.fake_inputs import model_inputs
from stages.memory.fake_model import RealIntegers, cuda_autocast, fake_model
from stages.memory.shapes import model_shape, shape_config
from stages.memory.step import Step
from stages.memory.tracing import traced_peaks


def thin(name, layers=3, depth=2):
    """Return the published widths with few layers; weights are a smaller share than in the whole model."""
    config = shape_config(name)
    text = config.get_text_config()
    text.num_hidden_layers = layers
    text.vocab_size = 32768
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[-layers:]
    vision = getattr(config, "vision_config", None)
    if vision is not None:
        setattr(vision, "depth" if hasattr(vision, "depth") else "num_hidden_layers", depth)
        if hasattr(vision, "fullatt_block_indexes"):
            vision.fullatt_block_indexes = [depth - 1]
        if hasattr(vision, "deepstack_visual_indexes"):
            vision.deepstack_visual_indexes = [0]
    return config


def arguments_of(stage, **flags):
    options = {"model": "m", "data": "d", "output": "o", "dtype": "bfloat16"} | flags
    return parse_stage(stage, [f"--{name}={value}" for name, value in options.items()])[0]


STEPS = {
    "sft": Step(stage="sft", sequences=1, tokens=2048, learnt=1536, image_tokens=512, checkpoints=True),
    "dpo": Step(stage="dpo", sequences=2, tokens=2048, learnt=1536, image_tokens=512, checkpoints=True),
    "grpo": Step(stage="grpo", sequences=4, tokens=2048, learnt=512, image_tokens=512, sampled=16, checkpoints=True),
}


@pytest.mark.parametrize(
    ("name", "stage", "quantised"),
    [
        ("qwen2.5-vl-3b", "sft", False),
        ("qwen2.5-vl-3b", "grpo", False),
        ("qwen3-vl-4b", "dpo", True),
        ("qwen3-vl-4b", "grpo", True),
        ("qwen3.5-4b", "sft", True),
        ("gemma-3-4b", "sft", False),
        ("gemma-3-4b", "dpo", True),
        ("smolvlm2-2.2b", "grpo", False),
        ("internvl3.5-4b", "sft", True),
        ("llava-onevision-0.5b", "sft", True),
    ],
)
def test_the_estimate_is_within_a_tenth_of_the_real_graph(name, stage, quantised):
    layers = 2 if name == "qwen3.5-4b" else 3  # of its last two layers one has linear attention
    config, arguments, step = thin(name, layers), arguments_of(stage, load_in_4bit=quantised), STEPS[stage]
    shape = model_shape(config, arguments)
    picture = shape.vision.largest(step.image_tokens).tokens
    step = replace(step, image_tokens=picture, learnt=min(step.learnt, step.tokens - picture))
    memory = estimate(shape, step)
    peaks = traced_peaks(config, arguments, shape, step)
    assert set(peaks) == {"training", "sampling"} if stage == "grpo" else {"training"}
    for phase, peak in peaks.items():
        parts = getattr(memory, phase)
        assert sum(parts.values()) - parts["context"] == pytest.approx(peak, rel=0.1), phase


@pytest.mark.parametrize(
    ("name", "quantised", "kept"),
    [("gemma-3-4b", True, 4), ("gemma-3-4b", False, 2), ("qwen2.5-vl-3b", True, 2), ("qwen3-vl-4b", True, 0)],
)
def test_blocks_of_a_vision_tower_keep_their_input_as_the_real_graph_does(name, quantised, kept):
    """In float32, in half precision, or not at all, where nothing in the tower requires gradients."""
    grown = []
    for depth in (2, 6):
        config, arguments = thin(name, 1, depth), arguments_of("sft", load_in_4bit=quantised)
        shape = model_shape(config, arguments)
        (peak,) = traced_peaks(config, arguments, shape, STEPS["sft"]).values()
        estimated = sum(estimate(shape, STEPS["sft"]).training.values())
        grown.append((peak - shape.weight_bytes, estimated - shape.weight_bytes))
    (fewer, fewer_estimated), (more, more_estimated) = grown
    patches = STEPS["sft"].image_tokens * shape.vision.patches_a_token
    assert more - fewer == pytest.approx(4 * kept * patches * shape.vision.hidden, rel=0.1, abs=2**20)
    assert more_estimated - fewer_estimated == pytest.approx(more - fewer, rel=0.1, abs=2**20)


def test_a_text_model_without_checkpointing_too():
    config, arguments = thin("smollm2-135m", layers=6), arguments_of("sft")
    step = Step(stage="sft", sequences=4, tokens=512, learnt=512, image_tokens=0)
    shape = model_shape(config, arguments)
    parts = estimate(shape, step).training
    (peak,) = traced_peaks(config, arguments, shape, step).values()
    assert sum(parts.values()) - parts["context"] == pytest.approx(peak, rel=0.1)


def test_a_longer_row_and_more_sequences_take_more_and_checkpointing_less():
    config, arguments = thin("smollm2-135m", layers=2), arguments_of("sft")
    step = Step(stage="sft", sequences=1, tokens=256, learnt=256, image_tokens=0)
    shape = model_shape(config, arguments)

    def peak(**changes):
        return traced_peaks(config, arguments, shape, replace(step, **changes))["training"]

    assert peak() < peak(tokens=512, learnt=512)
    assert peak(sequences=4, checkpoints=True) < peak(sequences=4)


def test_nothing_of_the_models_size_is_allocated():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = fake_model(thin("qwen2.5-vl-3b"), arguments_of("sft", load_in_4bit=True), mode)
    assert all(type(parameter.data).__name__ == "FakeTensor" for parameter in model.parameters())
    packed = [parameter for parameter in model.parameters() if hasattr(parameter, "quant_state")]
    assert packed
    assert {parameter.dtype for parameter in packed} == {torch.uint8}
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}


def test_autocast_is_that_of_cuda():
    """On CUDA, layer norms run in float32; a CPU's autocast leaves them in half precision."""
    with FakeTensorMode(allow_non_fake_inputs=True), cuda_autocast(torch.bfloat16):
        row = torch.empty(2, 8, dtype=torch.bfloat16)
        assert torch.nn.functional.layer_norm(row, (8,)).dtype == torch.float32
        assert torch.is_autocast_enabled("cuda")
    assert not torch.is_autocast_enabled("cuda")
    assert torch.nn.functional.layer_norm(torch.ones(2, 8), (8,)).dtype == torch.float32


def test_what_decides_shapes_stays_real():
    with FakeTensorMode(allow_non_fake_inputs=True), RealIntegers():
        grid = torch.tensor([[1, 4, 6]])
        assert (grid.prod() + 1).item() == 25
        picked = torch.empty(3, 4)[torch.tensor([True, False, True])]
        assert picked.shape == (2, 4)


def test_pictures_of_a_family_that_is_not_known_here_are_refused():
    with pytest.raises(StageError, match="pictures of llava models are not known"):
        model_inputs(LlavaConfig(), 1, 512, 256)
    assert set(model_inputs(LlavaConfig(), 1, 512, 0)) == {"input_ids", "attention_mask"}


def test_pictures_of_llava_onevision_are_one_on_a_grid_or_several_tiles():
    config = shape_config("llava-onevision-0.5b")
    one = model_inputs(config, 2, 4096, 27 * 27 + 54 * 28)
    assert one["pixel_values"].shape[:2] == (2, 3)  # the whole picture, and a grid of two
    assert int((one["input_ids"] == config.image_token_id).sum()) == 2 * (27 * 27 + 54 * 28)
    two = model_inputs(config, 2, 4096, 2 * (27 * 27 + 1))
    assert two["pixel_values"].shape[:2] == (4, 1)
    assert two["batch_num_images"].tolist() == [2, 2]
