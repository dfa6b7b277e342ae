import pytest
import torch

from data.pocket.pictures.scenes import SIDE
from data.rows import PreferencePair, SFTRow
from eval.models.processors import load_processor
from eval.models.reading import ModelError
from stages import sft
from stages.errors import StageError
from stages.inputs.columns import read_training_rows
from stages.inputs.lengths import check_lengths, row_lengths
from stages.inputs.loading import adapter_weights, is_same_adapter, load_for_training, num_trainable


def test_a_fresh_adapter_is_on_the_language_layers_and_nowhere_else(parse):
    model, _ = load_for_training(parse("sft")[0])
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(names) == 2 * 7 * 2  # layers x projections x (A, B)
    assert all(".language_model.layers." in name and ".default." in name for name in names)


def test_all_linear_also_adapts_the_vision_tower(parse):
    model, _ = load_for_training(parse("sft", lora_target="all-linear")[0])
    assert any("visual" in name for name, parameter in model.named_parameters() if parameter.requires_grad)


def test_a_fresh_adapter_follows_from_the_seed(parse):
    arguments = parse("sft")[0]
    one, other, third = (adapter_weights(load_for_training(arguments, seed)[0]) for seed in (0, 0, 1))
    assert is_same_adapter(one, other)
    assert not is_same_adapter(one, third)


def test_a_continued_adapter_is_the_parents_and_trainable(parse):
    folder = sft.run(*parse("sft", max_steps=1))
    model, _ = load_for_training(parse("dpo", parent=folder)[0])
    fresh, _ = load_for_training(parse("sft")[0])
    assert num_trainable(model) == num_trainable(fresh)
    assert not is_same_adapter(adapter_weights(model), adapter_weights(fresh))


def test_a_model_that_does_not_exist_is_one_clear_error(parse, tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        load_for_training(parse("sft", model=tmp_path / "nowhere")[0])


def test_a_folder_that_is_elsewhere_says_from_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"'runs/pocket/p': there is no folder {tmp_path}/runs/pocket/p;"):
        load_processor("runs/pocket/p")


def test_lengths_count_expanded_image_tokens_as_the_processor_writes_them(tiny_model_path, rows_folder):
    processor = load_processor(str(tiny_model_path))
    rows = read_training_rows(rows_folder / "sft.jsonl", SFTRow, None)
    lengths = row_lengths(rows, processor, rows_folder)
    # Two marks around the image; the processor scales it to the pocket world's size, in patches of 14, merged 2 x 2.
    assert lengths["s1"] == lengths["s0"] + 2 + (SIDE // 28) ** 2
    ids = processor(
        text=processor.apply_chat_template(
            [
                rows[1].prompt[0],
                {
                    "role": "user",
                    "content": [{"type": "image"}, {"type": "text", "text": rows[1].prompt[1]["content"]}],
                },
                rows[1].completion[0],
            ]
        ),
        images=[torch.zeros(3, 56, 56)],
    )["input_ids"]
    assert lengths["s1"] == len(ids[0])


def test_the_longer_of_two_responses_counts(tiny_model_path, rows_folder):
    processor = load_processor(str(tiny_model_path))
    pairs = read_training_rows(rows_folder / "dpo.jsonl", PreferencePair, None)
    rows = read_training_rows(rows_folder / "sft.jsonl", SFTRow, None)
    assert row_lengths(pairs, processor, rows_folder)["p3"] == row_lengths(rows, processor, rows_folder)["s3"]


def test_rows_longer_than_the_model_reads_are_refused_by_name_and_length(tiny_model_path, rows_folder):
    processor = load_processor(str(tiny_model_path))
    rows = read_training_rows(rows_folder / "sft.jsonl", SFTRow, None)
    lengths = row_lengths(rows, processor, rows_folder)
    check_lengths(rows, processor, max(lengths.values()), rows_folder)
    with pytest.raises(StageError) as caught:
        check_lengths(rows, processor, max(lengths.values()) - 1, rows_folder)
    assert caught.value.problems[0] == f"row s1: {lengths['s1']} tokens, the limit is {lengths['s1'] - 1}"
    assert len(caught.value.problems) == 12  # 11 rows with an image, and the hint


def test_every_image_that_is_none_is_listed_before_training(rows_folder):
    for number in (3, 5):
        (rows_folder / "images" / f"{number}.png").write_text("not a picture")
    with pytest.raises(StageError) as caught:
        read_training_rows(rows_folder / "sft.jsonl", SFTRow, None)
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["row s3", "row s5"]
    assert "not an image" in caught.value.problems[0]
