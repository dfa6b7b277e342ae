"""Rows of like length in one batch: every row once an epoch, little padding, pictures counted, and resumed exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.files.json_lines import read_rows, write_rows
from data.rows import PreferencePair, SFTRow
from stages import dpo, sft
from stages.arguments.stage import parse_stage
from stages.errors import StageError
from stages.inputs.columns import to_dataset
from stages.inputs.grouping import LengthGroups, padding_share
from stages.inputs.lengths import row_lengths
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import Job, Setup
from stages.progress import ProgressCallback
from stages.provenance.manifest import Manifest, read_manifest
from tests.stages.conftest import short_flags

RUN = {"sft": sft.run, "dpo": dpo.run}
ROW = {"sft": SFTRow, "dpo": PreferencePair}
GROUPED = {"train_sampling_strategy": "group_by_length", "per_device_train_batch_size": 2}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=90), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_has_every_row_once_and_begins_with_the_longest(lengths, rows_per_update, epoch):
    groups = LengthGroups(lengths, rows_per_update, seed=7)
    groups.set_epoch(epoch)
    order = list(groups)
    assert sorted(order) == list(range(len(lengths)))
    assert lengths[order[0]] == max(lengths)
    assert groups.epoch == epoch + 1


def test_an_epochs_order_follows_from_seed_and_epoch_alone():
    lengths = list(range(40))
    groups = LengthGroups(lengths, 4, seed=7)
    first, second = list(groups), list(groups)
    assert first != second != list(LengthGroups(lengths, 4, seed=8))
    torch.manual_seed(5)
    resumed = LengthGroups(lengths, 4, seed=7)
    resumed.set_epoch(1)
    assert list(resumed) == second


def test_updates_do_not_go_from_long_to_short():
    order = list(LengthGroups(range(800), 8, seed=0))
    longest = [max(order[first : first + 8]) for first in range(0, 800, 8)]
    assert longest[0] == 799
    assert sorted(longest[:25], reverse=True) != longest[:25]


def test_padding_is_what_a_batch_lacks_to_its_longest_row():
    # 10 + 20 of 2 x 20, then 30 + 10 of 2 x 30: 70 of 100
    assert padding_share([10, 20, 30, 10], [0, 1, 2, 3], 2) == pytest.approx(0.3)
    assert padding_share([10, 20, 30, 10], [0, 3, 1, 2], 2) == pytest.approx(1 - 70 / 80)


@pytest.fixture
def uneven_rows(rows_folder):
    """Questions of twelve lengths, in the order of none; every third row has no picture, every fourth has two."""
    for stage, kind in ROW.items():
        rows = read_rows(rows_folder / f"{stage}.jsonl", kind)
        for number, row in enumerate(rows):
            *before, question = row.prompt
            longer = {**question, "content": question["content"] * (1 + 5 * number % 12)}
            images = () if number % 3 == 0 else row.images * (2 if number % 4 == 0 else 1)
            rows[number] = replace(row, prompt=(*before, longer), images=images)
        write_rows(rows_folder / f"{stage}.jsonl", rows)
    return rows_folder


def trainer_of(stage, arguments, config):
    rows = read_rows(Path(arguments.data), ROW[stage])
    model, processor = load_for_training(arguments, config.seed)
    manifest = Manifest(stage=stage, model="", model_revision="", parent=None, recipe={}, data={}, seed=config.seed)
    root = Path(arguments.data).parent
    setup = Setup(Job(stage, arguments, config, rows, manifest, None), model, processor, to_dataset(rows, root))
    trainer = {"sft": sft, "dpo": dpo}[stage].build_trainer(setup)
    return trainer, row_lengths(rows, processor, root)


@pytest.mark.usefixtures("uneven_rows")
def test_batches_have_the_padding_that_was_counted(parse):
    """Pictures count: the rows of a batch are those of the order, and each is as long in it as its length says."""
    trainer, length_of = trainer_of("sft", *parse("sft", gradient_accumulation_steps=2, **GROUPED))
    lengths = list(length_of.values())
    order = list(trainer._get_train_sampler())
    masks = [batch["attention_mask"] for batch in trainer.get_train_dataloader()]
    assert [int(row.sum()) for mask in masks for row in mask] == [lengths[row] for row in order]
    share = 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    assert share == pytest.approx(padding_share(lengths, order, 2))
    assert share < padding_share(lengths, range(len(lengths)), 2) / 2


@pytest.mark.usefixtures("uneven_rows")
@pytest.mark.parametrize("stage", RUN)
def test_a_grouped_stage_is_resumed_to_the_same_adapter(stage, parse, parent, tmp_path, monkeypatch):
    """Interrupted in the second epoch, whose order a resumed run has to find again."""
    options = {"max_steps": 9, **GROUPED} | ({} if stage == "sft" else {"parent": parent})
    whole = RUN[stage](*parse(stage, output=tmp_path / "whole", **options))

    def on_step_end(_self, _args, state, _control, **_):
        if state.global_step == 9:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressCallback, "on_step_end", on_step_end)
    with pytest.raises(SystemExit):
        RUN[stage](*parse(stage, output=tmp_path / "broken", **options))
    broken = RUN[stage](*parse(stage, output=tmp_path / "broken", **options))
    assert read_manifest(broken / "manifest.json").resumed_from_step == 8
    assert read_manifest(broken / "manifest.json").adapter == read_manifest(whole / "manifest.json").adapter
    random = RUN[stage](*parse(stage, output=tmp_path / "random", **options | {"train_sampling_strategy": "random"}))
    assert read_manifest(random / "manifest.json").adapter != read_manifest(whole / "manifest.json").adapter


@pytest.mark.parametrize(
    ("stage", "values", "message"),
    [
        ("grpo", {"train_sampling_strategy": "group_by_length"}, "GRPO draws its prompts itself"),
        ("sft", {"train_sampling_strategy": "batch_rebalance"}, "found batch_rebalance, which counts no pictures"),
        ("sft", GROUPED | {"packing": "true"}, "group_by_length does not go with packing"),
        ("sft", GROUPED | {"shuffle_dataset": "true"}, "group_by_length does not go with shuffle_dataset"),
    ],
)
def test_an_order_that_could_not_be_kept_is_refused(stage, values, message):
    with pytest.raises(StageError, match=message):
        parse_stage(stage, short_flags(stage, model="m", data="d", output="o", **values))
