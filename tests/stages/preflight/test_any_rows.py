"""Rows with any words and pictures: rows that preflight accepts can be trained; others give a clear error."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.files.json_lines import read_rows, write_rows
from data.rows import SFTRow
from protocol.errors import UserError
from stages import sft
from stages.arguments.stage import parse_stage
from tests.cli.test_any_input import pictures
from tests.stages.conftest import short_flags, write_tiny_rows
from tests.stages.preflight.test_told_beforehand import said, told

WORDS = st.sampled_from(
    ["", " ", "<image>", "<|im_end|>", "<|image_pad|>", "\ufffd", "\x00", "caf\xe9", "{{ x }}", "What?"]
)


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(words=st.tuples(WORDS, WORDS), picture=pictures(), escapes=st.booleans())
def test_what_preflight_lets_through_trains(words, picture, escapes, tiny_model_path, tmp_path_factory):
    prompt, completion = words
    folder = tmp_path_factory.mktemp("any")
    data = write_tiny_rows(folder / "data")
    (data / "images" / "any.png").write_bytes(picture)
    rows = read_rows(data / "sft.jsonl", SFTRow)[:2]
    rows[1] = replace(said(said(rows[1], prompt), completion, "completion"), images=("images/any.png",))
    write_rows(data / "sft.jsonl", rows)
    options = {"max_steps": 1, "per_device_train_batch_size": 2, "special_tokens": "escape" if escapes else "refuse"}
    paths = {"model": tiny_model_path, "data": data / "sft.jsonl", "output": folder / "out"}
    flags = short_flags("sft", **paths, **options)
    if told("sft", flags):
        with pytest.raises(UserError):
            sft.run(*parse_stage("sft", flags))
        assert not (folder / "out" / "adapter").exists()
    else:
        assert (sft.run(*parse_stage("sft", flags)) / "adapter").is_dir()
