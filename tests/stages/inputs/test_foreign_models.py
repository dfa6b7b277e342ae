"""Untrusted models: values that would stall or fill the memory are rejected, and a damaged model is one error."""

import json
import resource
import shutil

import pytest
import torch

from eval.models.loading import load_config, load_model
from eval.models.processors import load_processor
from eval.models.reading import ModelError
from eval.models.template_trial import CPU_SECONDS, template_problem

BOMBS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}"
    "{% endfor %}",
    "a text that doubles": "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}"
    "{% endfor %}",
    "output without end": "{% for a in range(99999) %}{% for b in range(99999) %}{{ messages[0]['content'] * 999 }}"
    "{% endfor %}{% endfor %}",
    "a number": "{{ 9 ** (9 ** 9) }}",
}
SOUND = {
    "refuses a system role": "{{ raise_exception('no system role') }}",
    "not a template": "{% if %}",
    "marks the answer": "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}",
    "divides by nothing": "{{ 1 // 0 }}",
    "counts beyond its list": "{{ '{9}'.format() }}",
    "leaves a loop": "{% for m in messages %}{% break %}{% endfor %}",
}


@pytest.fixture
def folder(tiny_model_path, tmp_path):
    return shutil.copytree(tiny_model_path, tmp_path / "model")


def edit(folder, name, **changes):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_does_not_end_is_refused(name):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "does not end within" in template_problem((BOMBS[name],))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, because the machine may be busy. It includes the start, and the limit is in whole seconds.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < CPU_SECONDS + 4


@pytest.mark.parametrize("name", SOUND)
def test_a_template_that_ends_or_fails_at_once_is_let_through(name):
    assert template_problem((SOUND[name],)) is None


def test_a_model_with_such_a_template_is_not_loaded(folder):
    (folder / "chat_template.jinja").write_text(BOMBS["a text that doubles"])
    with pytest.raises(ModelError, match="its chat template does not end within 2 s"):
        load_processor(str(folder))


CONFIGS = {
    "layers": ("text_config", {"num_hidden_layers": 10**9}, "num_hidden_layers: expected 0 to 1,000"),
    "width": ("text_config", {"hidden_size": 10**12}, "hidden_size: expected 0 to 16,777,216"),
    "vocabulary": ("text_config", {"vocab_size": 10**12}, "vocab_size: expected 0 to"),
    "depth": ("vision_config", {"depth": 10**9}, "depth: expected 0 to 1,000"),
    "a negative size": ("text_config", {"intermediate_size": -5}, "intermediate_size: expected 0 to"),
    "a kernel to fetch": (None, {"attn_implementation": "someone/kernel"}, "attn_implementation: expected one of"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_beyond_any_model_is_refused_by_its_field(name, folder):
    part, changes, words = CONFIGS[name]
    if part is not None:
        config = json.loads((folder / "config.json").read_text())
        changes = {part: {key: value for key, value in config[part].items() if key != "layer_types"} | changes}
    edit(folder, "config.json", **changes)
    with pytest.raises(ModelError, match=words):
        load_config(str(folder))


DAMAGES = {
    "a size that is a text": ("config.json", lambda text: text.replace(b'"hidden_size": 48', b'"hidden_size": "x"')),
    "an empty configuration": ("config.json", lambda _: b"{}"),
    "a list": ("config.json", lambda _: b"[]"),
    "a deep configuration": ("config.json", lambda _: b"[" * 100_000),
    "no JSON": ("config.json", lambda _: b"\xff\xfe"),
    "other layers": ("config.json", lambda text: text.replace(b'"num_hidden_layers": 2', b'"num_hidden_layers": 0')),
    "cut weights": ("model.safetensors", lambda content: content[: len(content) // 2]),
    "a pointer instead of weights": ("model.safetensors", lambda _: b"version https://git-lfs.github.com/spec/v1\n"),
    "a huge header": ("model.safetensors", lambda _: (2**62).to_bytes(8, "little")),
    "an empty tokenizer": ("tokenizer.json", lambda _: b"{}"),
    "a cut tokenizer": ("tokenizer.json", lambda content: content[:100]),
    "a list for a tokenizer": ("tokenizer_config.json", lambda _: b"[]"),
    "numbers for a processor": ("processor_config.json", lambda _: b'{"processor_class": 3}'),
}


def read(folder):
    load_processor(str(folder))
    load_model(str(folder), dtype=torch.float32)


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_model_is_one_error(name, folder):
    file, change = DAMAGES[name]
    path = folder / file
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    with pytest.raises(ModelError, match="model '"):
        read(folder)
