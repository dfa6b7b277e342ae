"""Loading base models: accepted and rejected models, and the messages."""

import json
import re

import numpy as np
import pytest
import torch

from eval.models.loading import load_config, load_model
from eval.models.options import LoadOptions
from eval.models.processors import load_processor
from eval.models.reading import ModelError, split_gguf
from stages.inputs.loading import load_for_training

gguf = pytest.importorskip("gguf")
WIDTH, LAYERS, VOCABULARY = 32, 2, 300


@pytest.fixture(scope="module")
def gguf_path(tmp_path_factory):
    """Write a llama with random weights and a byte-level tokenizer, like llama.cpp's converter."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<unk>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "cu"]
    words += [f"<extra{number}>" for number in range(VOCABULARY - len(words))]
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<") and len(word) > 1 else 1 for word in words])
    writer.add_token_merges(["c u"])
    writer.add_unk_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    noise = np.random.default_rng(0)

    def add(name, *shape):
        writer.add_tensor(name, noise.normal(size=shape).astype(np.float32))

    add("token_embd.weight", VOCABULARY, WIDTH)
    add("output_norm.weight", WIDTH)
    for layer in range(LAYERS):
        for name, shape in {
            "attn_norm": (WIDTH,),
            "ffn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (WIDTH // 2, WIDTH),
            "attn_v": (WIDTH // 2, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (2 * WIDTH, WIDTH),
            "ffn_up": (2 * WIDTH, WIDTH),
            "ffn_down": (WIDTH, 2 * WIDTH),
        }.items():
            add(f"blk.{layer}.{name}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_loads_as_an_ordinary_model_with_its_tokenizer(gguf_path):
    model = load_model(str(gguf_path), dtype=torch.float32)
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (WIDTH, LAYERS)
    assert model.model.layers[0].mlp.up_proj.weight.is_floating_point()
    tokenizer = load_processor(str(gguf_path))
    assert tokenizer.decode(tokenizer("cup")["input_ids"]) == "cup"
    assert tokenizer.pad_token is not None


def test_a_gguf_file_is_not_quantised_again(gguf_path):
    with pytest.raises(ModelError, match=r"cannot be quantised again; use the original weights with load_in_4bit"):
        load_model(str(gguf_path), dtype=torch.float32, load_in_4bit=True)


@pytest.mark.parametrize(
    ("model", "parts"),
    [("a/b/c.gguf", ("a/b", "c.gguf")), ("c.gguf", (".", "c.gguf")), ("org/name", ("org/name", None))],
)
def test_a_gguf_file_is_the_last_part_of_a_models_name(model, parts):
    assert split_gguf(model) == parts


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "bert"}, None),
        ({"model_type": "t5"}, "a t5 model is not supported; supported are decoder-only text models"),
        ({"model_type": "vit"}, "a vit model is not supported"),
        ({"model_type": "nonesuch"}, "nonesuch"),
    ],
)
def test_what_is_not_supported_is_refused_with_what_is(config, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    if words is None:  # BERT has a causal head in transformers
        assert load_config(str(tmp_path)).model_type == "bert"
        return
    with pytest.raises(ModelError, match=words):
        load_config(str(tmp_path))


def test_weights_of_another_quantisation_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "llama", "quantization_config": {"quant_method": "awq"}})
    )
    with pytest.raises(ModelError, match="is quantised with awq; use the original weights"):
        load_model(str(tmp_path), dtype=torch.float32)


def test_pickled_weights_are_read_only_when_asked_for(tiny_model_path, tmp_path):
    model = load_model(str(tiny_model_path), dtype=torch.float32)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(tmp_path), dtype=torch.float32)
    again = load_model(str(tmp_path), dtype=torch.float32, options=LoadOptions(allow_pickle=True))
    assert sum(each.numel() for each in again.parameters()) == sum(each.numel() for each in model.parameters())


def test_code_in_a_models_folder_is_run_only_when_asked_for(tmp_path):
    (tmp_path / "own.py").write_text(
        "from transformers import PretrainedConfig\nclass Own(PretrainedConfig):\n    model_type = 'own'\n"
    )
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        load_config(str(tmp_path))
    assert load_config(str(tmp_path), LoadOptions(trust_remote_code=True)).model_type == "own"


def test_bounds_on_pixels_decide_the_tokens_of_a_picture(tiny_model_path):
    def count(**bounds):
        processor = load_processor(str(tiny_model_path), LoadOptions(**bounds))
        return processor._get_num_multimodal_tokens(image_sizes=[(560, 560)])["num_image_tokens"][0]

    assert count(min_pixels=28 * 28, max_pixels=4 * 28 * 28) == 4
    assert count(min_pixels=28 * 28, max_pixels=16 * 28 * 28) == 16


def test_the_attention_kernel_is_chosen_and_printed(parse, capsys):
    model, _ = load_for_training(parse("sft", attn_implementation="eager")[0])
    assert model.config._attn_implementation == "eager"
    load_for_training(parse("sft")[0])
    printed = re.findall(r"model: (.*)", capsys.readouterr().out)
    assert printed == [
        "Qwen2_5_VLForConditionalGeneration, float32, attention eager",
        "Qwen2_5_VLForConditionalGeneration, float32, attention sdpa",
    ]


def test_a_kernel_that_is_not_installed_is_one_clear_error(parse):
    with pytest.raises(ModelError, match=r"[Ff]lash"):
        load_for_training(parse("sft", attn_implementation="flash_attention_2")[0])


def test_options_come_from_a_recipe_but_permissions_do_not():
    recipe = {"max_pixels": 5, "trust_remote_code": True, "allow_pickle": True, "min_pixels": None, "lora_r": 4}
    assert LoadOptions.from_recipe(recipe) == LoadOptions(max_pixels=5)
    assert LoadOptions.from_recipe({}, allow_pickle=True) == LoadOptions(allow_pickle=True)
