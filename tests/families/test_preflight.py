"""The findings of preflight for each family."""

from types import SimpleNamespace

from data.files.json_lines import read_rows
from data.rows import SFTRow
from eval.families.scaling import merged_side
from eval.models.loading import load_config
from stages.memory.shapes import model_shape
from stages.preflight.check import check_before_training
from stages.preflight.family import family_section
from tests.families.test_templates import WRAPPED

MERGED = {"smolvlm2": 2, "gemma3": 2, "internvl3.5": 2, "llava-onevision": 1}


def test_a_familys_memory_can_be_estimated(case, tmp_path):
    arguments, _ = case.parse("sft", tmp_path)
    config = load_config(str(case.model))
    shape = model_shape(config, arguments)
    assert shape.num_trainable > 0
    assert not shape.adapts_vision
    if not case.sees:
        assert shape.vision is None
        return
    assert shape.vision.patches_a_token == merged_side(config) ** 2 == MERGED.get(case.name, 2) ** 2
    assert shape.vision.patch == {"qwen2.5-vl": 14}.get(case.name, 16 if case.name.startswith("qwen") else 7)


def test_a_family_passes_preflight(case, tmp_path, capsys):
    arguments, config = case.parse("sft", tmp_path)
    check_before_training("sft", arguments, config, read_rows(case.data / "sft.jsonl", SFTRow))
    assert "preflight: rows ok, model ok, tokens ok, loss ok" in capsys.readouterr().out
    section = family_section(load_config(str(case.model)), case.processor())
    changed = case.name in WRAPPED
    assert [finding.found == "as published" for finding in section.findings] == [False, not changed]


def test_a_family_that_was_not_tried_is_warned_of():
    section = family_section(SimpleNamespace(model_type="falcon"), SimpleNamespace(chat_template="x"))
    assert section.level == "warning"
    assert "falcon was not tried here; tried were Qwen2.5-VL, " in section.findings[0].found
