"""Peak memory and tokens a second of real models' recipes on a GPU, ours beside TRL's own trainers: `make gpu-check`.

Each recipe runs under a cap of the card it names (24 or 16 GiB), whatever card is there, in a process of its own: a
few steps on copies of one row, with the largest picture that the recipe allows and, in GRPO, responses of full length.
The weights are random, of the model's exact shape, so that nothing is downloaded. TRL's trainers get the same model,
adapter, settings and row, and GRPO a constant reward. Printed as a table, with preflight's estimate.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from data.build import Sizes, build_pocket
from eval.models import load_config, load_processor, quiet_libraries
from stages.arguments import parse_stage
from stages.columns import ROW_TYPES, read_training_rows
from stages.loading import load_options
from stages.preflight.check import Subject, longest_row, step_of
from stages.preflight.measure import measure
from stages.preflight.memory import GIB, estimate
from stages.preflight.shapes import model_shape, shape_config
from stages.preflight.stand_in import stand_in_processor, write_random_model
from tests.bench.bare import build_bare

ROOT = Path(__file__).parents[2]
RECIPES = ("qwen2.5-vl-3b", "qwen3-vl-4b")
STAGES = ("sft", "dpo", "grpo")
TRAINERS = ("TRL", "ours")
NUM_STEPS = 6


class Case(NamedTuple):
    """What is measured."""

    recipe: str
    stage: str
    trainer: str


def bare_trainer(setup):
    """Return TRL's own trainer over what a stage trains."""
    return build_bare(setup.job.stage, setup.job.config, setup.model, setup.processor, setup.dataset)


def parse(recipe, stage, data, *flags):
    """Return a recipe's stage on rows of the pocket world, whose pictures are scaled up to the largest allowed."""
    config = ROOT / "stages" / "recipes" / recipe / f"{stage}.yaml"
    arguments, trl_config = parse_stage(stage, ["--config", str(config), f"--data={data / stage}.jsonl", *flags])
    if arguments.max_pixels is not None:
        arguments = replace(arguments, min_pixels=arguments.max_pixels)
    return replace(arguments, parent=None), trl_config


def write_model(recipe, data, folder, *flags):
    """Write random weights of the shape that a recipe trains, with a processor that has the words of the rows."""
    arguments, _ = parse(recipe, "sft", data, *flags)
    config = shape_config(recipe)
    rows = [row for stage in STAGES for row in read_training_rows(data / f"{stage}.jsonl", ROW_TYPES[stage], None)]
    write_random_model(config, stand_in_processor(rows, config, arguments), arguments, folder)


@quiet_libraries()
def measured(case, model, data, folder, *flags):
    """Return what a few steps take, and what preflight estimates, as a JSON object."""
    stage = case.stage
    arguments, config = parse(case.recipe, stage, data, f"--model={model}", f"--output={folder}", *flags)
    if torch.cuda.is_available() and arguments.card_gib is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, arguments.card_gib * GIB / total))
    options = load_options(arguments, trust_remote_code=False)
    subject = Subject(
        stage=stage,
        arguments=arguments,
        config=config,
        rows=read_training_rows(Path(arguments.data), ROW_TYPES[stage], None),
        processor=load_processor(arguments.model, options),
        model_config=load_config(arguments.model, options),
    )
    longest, size = longest_row(subject)
    estimated = estimate(model_shape(subject.model_config, arguments), step_of(subject, size))
    build = bare_trainer if case.trainer == "TRL" else None
    found = measure(stage, arguments, config, longest, folder, build_trainer=build, num_steps=NUM_STEPS)
    return {
        "estimate": estimated.peak / GIB,
        "peak": found.peak / GIB,
        "reserved": None if found.reserved is None else found.reserved / GIB,
        "tokens_per_s": found.tokens / found.seconds,
    }


def in_a_process(*arguments):
    """Return what a process of its own measured, or the last line of why it could not."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.gpu_check", "--one", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def table_of(results):
    """Return the results as a table, an estimate beside each measurement."""
    table = Table("recipe", "stage", "trainer", "estimate GiB", "peak GiB", "reserved GiB", "tokens/s")
    for case, found in results.items():
        if isinstance(found, str):
            table.add_row(*case, found)
            continue
        cells = ("" if found[name] is None else f"{found[name]:.2f}" for name in ("estimate", "peak", "reserved"))
        table.add_row(*case, *cells, f"{found['tokens_per_s']:,.0f}")
    return table


def main():
    """Measure every recipe, stage and trainer that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=RECIPES, action="append", help="may be repeated; all by default")
    parser.add_argument("--stage", choices=STAGES, action="append", help="may be repeated; all by default")
    parser.add_argument("--one", nargs=6, metavar="WORD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(Case(*options.one[:3]), *map(Path, options.one[3:]))))  # noqa: T201
        return
    if not torch.cuda.is_available():
        sys.exit("gpu-check: there is no GPU here; nothing was run")
    results = {}
    stages = options.stage or STAGES
    with tempfile.TemporaryDirectory(prefix="tritrace-gpu-") as name:
        folder = Path(name)
        build_pocket(folder / "data", Sizes(sft=8, dpo=4, grpo=8, validation=0, test=0), seed=0)
        recipes = options.recipe or RECIPES
        with tqdm(total=len(recipes) * len(stages) * len(TRAINERS), unit="run") as bar:
            for recipe in recipes:
                with tempfile.TemporaryDirectory(dir=folder) as model:
                    write_model(recipe, folder / "data", Path(model))
                    for stage in stages:
                        for trainer in TRAINERS:
                            case = Case(recipe, stage, trainer)
                            bar.set_description(" ".join(case))
                            results[case] = in_a_process(*case, model, folder / "data", folder / "out")
                            bar.update()
    console = Console()
    console.print(table_of(results))
    console.print(f"{torch.cuda.get_device_name()}; each under a cap of the card that its recipe names")


if __name__ == "__main__":
    main()
