"""Preflight's estimate beside the peak of the real graph on tensors without storage: `python -m tests.bench.estimates`.

It prints a Markdown table for the settings that `tritrace fit` chooses for a model and a card, with a row for each
phase of each stage. It takes about a minute per stage, and does not allocate memory of the models' size. Neither column
includes the CUDA context.

    python -m tests.bench.estimates qwen2.5-vl-3b:24 qwen3.5-4b:16
    python -m tests.bench.estimates qwen3.5-4b:16 --layers 4    # of the language model alone: quicker
"""

import argparse
import sys
from typing import NamedTuple

from stages.arguments.stage import parse_stage
from stages.fit.choice import fit
from stages.fit.model import find_model
from stages.memory.estimate import GIB, estimate
from stages.memory.shapes import model_shape
from stages.memory.tracing import traced_peaks

CASES = ("qwen2.5-vl-3b:24", "qwen3-vl-4b:24", "qwen3.5-4b:24")
HEAD = (
    "| model | card | stage | phase | weights | tokens x rows | estimate GiB | graph GiB | ratio |",
    "| --- | ---: | --- | --- | --- | ---: | ---: | ---: | ---: |",
)


class Compared(NamedTuple):
    """An estimate and the traced peak, in bytes."""

    stage: str
    phase: str
    estimate: int
    graph: int

    @property
    def ratio(self):
        """Of the first to the second."""
        return self.estimate / self.graph


def cut(config, layers):
    """Leave a configuration only the first layers of its language model."""
    text = config.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]


def compared(config, each, half="bfloat16"):
    """Yield the phases of a fitted stage."""
    flags = ["--model=m", "--data=d", "--output=o", f"--dtype={half}", f"--load_in_4bit={each.rung.quantised}"]
    arguments, _ = parse_stage(each.stage, flags)
    shape = model_shape(config, arguments)
    memory = estimate(shape, each.step)
    for phase, graph in traced_peaks(config, arguments, shape, each.step).items():
        parts = getattr(memory, phase)
        yield Compared(each.stage, phase, sum(parts.values()) - parts["context"], graph)


def lines(model_name, gib, stages=("sft", "dpo", "grpo"), layers=None):
    """Yield the rows of the table for a model and a card."""
    model = find_model(model_name)
    found = fit(model, gib, stages)
    if layers is not None:
        cut(model.config, layers)
        model_name = f"{model_name}, {layers} layers"
    for stage, each in found.stages.items():
        weights = "NF4" if each.rung.quantised else found.half
        for row in compared(model.config, each):
            rows = each.step.sampled if row.phase == "sampling" else each.step.sequences
            yield (
                f"| {model_name} | {gib:g} | {stage} | {row.phase} | {weights} | {each.step.tokens} x {rows} "
                f"| {row.estimate / GIB:.2f} | {row.graph / GIB:.2f} | {row.ratio:.2f} |"
            )


def main():
    """Print the table; each row is printed as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", default=list(CASES), metavar="MODEL:GIB")
    parser.add_argument("--stage", choices=("sft", "dpo", "grpo"), action="append")
    parser.add_argument("--layers", type=int, help="of the language model; all by default")
    options = parser.parse_args()
    sys.stdout.write("\n".join(HEAD) + "\n")
    for case in options.case:
        name, _, gib = case.rpartition(":")
        for line in lines(name, float(gib), options.stage or ("sft", "dpo", "grpo"), options.layers):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
