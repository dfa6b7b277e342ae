"""SFT on rows at random beside rows of like length, side by side in one run: `python -m tests.bench.grouping`.

Two trainers of one model's size (the pocket model's, random weights) go once through the same rows of the pocket world,
with and without pictures, and take turns step by step, so that whatever else the machine does falls on both. Printed
are the share of padding that went through the models, and the time of the whole epoch, by the clock and of the
processors; on a machine with other work only the latter is steady.

    python -m tests.bench.grouping --rows 320 --batch 8
"""

import argparse
import sys
import tempfile
from pathlib import Path

from transformers import PrinterCallback

from data.building.build import Sizes, build_pocket
from data.files.json_lines import read_rows
from data.rows import SFTRow
from eval.models.loading import quiet_libraries
from stages import sft
from stages.arguments.stage import parse_stage
from stages.inputs.columns import to_dataset
from stages.inputs.grouping import STRATEGY
from stages.inputs.loading import load_for_training
from stages.lifecycle.training import Job, Setup
from stages.pocket.model import PocketSizes, build_model, build_processor
from stages.pocket.tokenizer import train_tokenizer
from stages.provenance.manifest import Manifest
from tests.bench.speed.test_step_bench import steps_in_turns


class Counted:
    """A collator that adds up what it makes: all tokens, and those of rows."""

    def __init__(self, collate):
        self.collate = collate
        self.padded = self.real = 0

    def __call__(self, rows):
        """Make a batch."""
        batch = self.collate(rows)
        self.padded += batch["attention_mask"].numel()
        self.real += int(batch["attention_mask"].sum())
        return batch


def write_world(folder, num_rows):
    """Write rows and a model."""
    build_pocket(folder / "data", Sizes(sft=num_rows, dpo=0, grpo=0, validation=0, test=0), seed=0)
    rows = read_rows(folder / "data" / "sft.jsonl", SFTRow)
    tokenizer = train_tokenizer([text[0]["content"] for row in rows for text in (row.prompt, row.completion)])
    build_model(tokenizer, seed=0, sizes=PocketSizes()).save_pretrained(folder / "model")
    build_processor(tokenizer).save_pretrained(folder / "model")
    return rows


def trainer_of(strategy, rows, folder, batch):
    """Return a stage's trainer for one epoch in an order of rows."""
    flags = {"model": folder / "model", "data": folder / "data" / "sft.jsonl", "output": folder / strategy}
    flags |= {"train_sampling_strategy": strategy, "per_device_train_batch_size": batch, "learning_rate": 1e-3}
    flags |= {"max_steps": len(rows) // batch, "save_strategy": "no"}
    arguments, config = parse_stage("sft", [f"--{name}={value}" for name, value in flags.items()])
    config.completion_only_loss = True
    model, processor = load_for_training(arguments, config.seed)
    manifest = Manifest(stage="sft", model="", model_revision="", parent=None, recipe={}, data={}, seed=0)
    job = Job("sft", arguments, config, rows, manifest, None)
    trainer = sft.build_trainer(Setup(job, model, processor, to_dataset(rows, folder / "data")))
    trainer.remove_callback(PrinterCallback)
    trainer.data_collator = Counted(trainer.data_collator)
    return trainer


@quiet_libraries()
def compared(num_rows, batch):
    """Return the lines of the table."""
    strategies = ("random", STRATEGY)
    with tempfile.TemporaryDirectory(prefix="tritrace-grouping-") as name:
        rows = write_world(Path(name), num_rows)
        trainers = [trainer_of(strategy, rows, Path(name), batch) for strategy in strategies]
        seconds = steps_in_turns(trainers)
    lines = ["| order of rows | padding | s a step | processor s a step |", "| --- | ---: | ---: | ---: |"]
    for strategy, trainer, each in zip(strategies, trainers, seconds, strict=True):
        counts = trainer.data_collator
        clock, processors = (sum(step[number] for step in each) / len(each) for number in (0, 1))
        share = 1 - counts.real / counts.padded
        lines.append(f"| `{strategy}` | {share:.1%} | {clock:.3f} | {processors:.3f} |")
    return lines


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    sys.stdout.write("\n".join(compared(options.rows, options.batch)) + "\n")


if __name__ == "__main__":
    main()
