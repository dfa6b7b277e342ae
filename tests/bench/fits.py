"""Prints the settings of `tritrace fit` for some models and cards as a Markdown table: `python -m tests.bench.fits`.

A cell has: the precision of the weights, the tokens of a row and of its picture, the completions sampled together in
GRPO, the highest peak of the three stages, and the hours for the published data on the slowest named card of that size.
"""

import argparse
import sys

from stages.fit.cards import find_cards
from stages.fit.choice import fit
from stages.fit.model import find_model
from stages.fit.time import hours, whole_amount
from stages.memory.estimate import GIB

MODELS = ("smollm2-135m", "qwen3-vl-2b", "qwen2.5-vl-3b", "qwen3-vl-4b", "qwen2.5-vl-7b", "qwen3-vl-8b")
CARDS = (8, 12, 16, 24)
STAGES = ("sft", "dpo", "grpo")


def cell(found, gib):
    """Return a cell of the table."""
    if not found.stages:
        return f"nothing: {found.last.memory.peak / GIB:.1f} GiB at the least"
    step, rung = found.stages["grpo"].step, found.last.rung
    peak = max(each.memory.peak for each in found.stages.values()) / GIB
    card = min((each for each in find_cards(str(gib)) if each.bf16), key=lambda each: each.tflops)
    spent = [hours(each, whole_amount(stage), card) for stage, each in found.stages.items()]
    pictures = f" / {step.image_tokens}" if step.image_tokens else ""
    return (
        f"{'NF4' if rung.quantised else 'bf16'}, {step.tokens}{pictures}, {step.sampled} sampled, {peak:.1f} GiB, "
        f"{' + '.join(f'{each:.0f}' for each in spent)} h"
    )


def main():
    """Print the table; each row is printed as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    names = [
        min((each for each in find_cards(str(gib)) if each.bf16), key=lambda each: each.tflops).name for gib in CARDS
    ]
    sys.stdout.write("| model | " + " | ".join(f"{gib} GiB ({name})" for gib, name in zip(CARDS, names, strict=True)))
    sys.stdout.write(" |\n| --- |" + " --- |" * len(CARDS) + "\n")
    for name in options.model:
        model, shapes = find_model(name), {}
        cells = [cell(fit(model, gib, STAGES, shapes=shapes), gib) for gib in CARDS]
        sys.stdout.write(f"| {name} | " + " | ".join(cells) + " |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
