"""The inputs of vLLM: pictures that it does not scale again, a base that a sync does not change, and valid arguments.

vLLM itself is not run here. The sync is TRL's own code; vLLM's argument classes are used if vLLM is installed.
"""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from trl.data_utils import prepare_multimodal_messages
from trl.generation.vllm_generation import VLLMGeneration

from eval.models.options import LoadOptions
from eval.policies.dialects import structured_outputs
from stages.errors import StageError
from stages.inputs.loading import load_for_training
from stages.rollouts.sampling.vllm import ScaledPictures
from stages.rollouts.sampling.weights import keeping_weights
from tests.families.rows import PLAN, SIZES
from tests.families.test_pictures import BOUNDS

PICTURES = [Image.new("RGB", size) for size in (*SIZES, (400, 300), (9, 40))]


@pytest.fixture
def adapted(case_of, tmp_path):
    """Return a bfloat16 model with an adapter that has an effect, and TRL's sync, which records the sent weights."""
    model, _ = load_for_training(case_of("qwen3-text").parse("grpo", tmp_path, dtype="bfloat16")[0])
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
    generation = VLLMGeneration.__new__(VLLMGeneration)
    generation.model = model
    generation._dist = SimpleNamespace(gather_params=lambda _: nullcontext(), is_fsdp=False)
    sent = {}

    def sync():
        sent.update({name: weights.clone() for name, weights in generation._iter_named_params()})

    return model, sync, sent


def base_weights(model):
    return {name: weights.clone() for name, weights in model.named_parameters() if "base_layer" in name}


def changed(model, before):
    return [name for name, weights in base_weights(model).items() if not torch.equal(weights, before[name])]


def test_a_sync_sends_the_merged_weights_and_leaves_the_base_bit_for_bit(adapted):
    model, sync, sent = adapted
    before = base_weights(model)
    for _ in range(3):
        keeping_weights(sync, model)()
    assert changed(model, before) == []
    name = next(iter(before))
    plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
    assert not torch.equal(sent[plain], before[name])
    assert not any(layer.merged for layer in model.modules() if hasattr(layer, "merged_adapters"))


def test_trls_own_sync_wears_a_bfloat16_base_down(adapted):
    """The reason for our copy: if TRL's own sync becomes exact, the copy can be removed."""
    model, sync, _ = adapted
    before = base_weights(model)
    sync()
    assert changed(model, before)


def test_a_sync_that_fails_leaves_the_base_too(adapted):
    model, _, _ = adapted
    before = base_weights(model)

    def fails():
        model.merge_adapter()
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        keeping_weights(fails, model)()
    assert changed(model, before) == []


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl", "qwen3.5"])
def test_vllm_makes_as_many_tokens_of_a_scaled_picture_as_the_prompt_has(name, case_of):
    case = case_of(name)
    bounded, published = case.processor(options=LoadOptions(max_pixels=BOUNDS[name][0])), case.processor()
    scaled = ScaledPictures(bounded, published).of([PICTURES, None])
    assert scaled[1] is None

    def tokens(processor, pictures):
        talk = prepare_multimodal_messages([{"role": "user", "content": "?"}], images=list(pictures))
        return processor(text=[processor.apply_chat_template(talk, tokenize=False)], images=[list(pictures)])

    expected, found = tokens(bounded, PICTURES), tokens(published, scaled[0])
    assert list(found["input_ids"][0]) == list(expected["input_ids"][0])
    assert torch.equal(torch.as_tensor(found["image_grid_thw"]), torch.as_tensor(expected["image_grid_thw"]))
    unscaled = tokens(published, PICTURES)
    assert list(unscaled["input_ids"][0]) != list(expected["input_ids"][0])


@pytest.mark.parametrize("name", ["smolvlm2", "llava-onevision"])
def test_bounds_that_vllm_would_undo_are_refused(name, case_of):
    case = case_of(name)
    bounded = case.processor(options=LoadOptions(max_pixels=BOUNDS[name][0]))
    with pytest.raises(StageError, match="leave out min_pixels and max_pixels, or use_vllm"):
        ScaledPictures(bounded, case.processor()).of([PICTURES[-2:-1]])


def test_without_bounds_pictures_are_given_as_they_are(seeing):
    rows = [PICTURES]
    assert ScaledPictures(seeing.processor(), seeing.processor()).of(rows) is rows


def test_vllm_is_told_how_long_a_row_is(case_of, tmp_path):
    case, use = case_of("qwen2.5-vl"), {"use_vllm": True, "vllm_mode": "colocate"}
    _, config = case.parse("grpo", tmp_path, max_tokens=900, **use)
    assert config.vllm_max_model_length == 900
    with pytest.raises(StageError, match="vllm_max_model_length: vLLM would make room for the model's whole window"):
        case.parse("grpo", tmp_path, **use)
    with pytest.raises(StageError, match="use_vllm: TRL would have to add the adapter to 4-bit weights"):
        case.parse("grpo", tmp_path, max_tokens=900, load_in_4bit=True, **use)


def test_vllm_takes_what_it_is_given():
    """With vLLM's own classes: sampling with a plan's grammar, and an exported adapter as LoRA."""
    params = pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed", exc_type=ImportError)
    from vllm.lora.request import LoRARequest

    assert params.StructuredOutputsParams(**structured_outputs(PLAN.to_json())).grammar
    assert LoRARequest("tritrace", 1, "runs/export").path == "runs/export"
