"""Measures peak memory and tokens per second of real models on a GPU, for our trainers and TRL's: `make gpu-check`.

For each model and cap (24 and 16 GiB), the recipes come from `tritrace fit`, whatever the GPU is. Each case runs in a
separate process: a few steps on copies of one row, with the largest picture that the recipe allows and, in GRPO,
responses of full length. The weights are random with the model's exact shape, so that nothing is downloaded. TRL's
trainers get the same model, adapter, settings and row; GRPO gets a constant reward. Then a stage is killed and resumed
(`tests/stages/lifecycle/kills.py`). For cases that do not fit into the time, a line says so.

The table is printed, and written as Markdown to `runs/gpu-check.md`, ready for RESULTS.md.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch

from data.build import Sizes, build_pocket
from eval.models.loading import load_config, load_processor, quiet_libraries
from stages.arguments.stage import parse_stage
from stages.fit.choice import fit
from stages.fit.model import find_model
from stages.fit.recipe_text import Places, recipe_files, write_recipes
from stages.fit.time import planned
from stages.inputs.columns import read_training_rows
from stages.inputs.loading import load_options
from stages.memory.estimate import GIB, estimate
from stages.memory.shapes import model_shape, shape_config, shape_names
from stages.preflight.check import Subject, longest_row, step_of
from stages.rehearsal.measure import measure
from stages.rehearsal.stand_in import stand_in_processor, write_random_model
from stages.spec import SPECS
from tests.bench.bare import build_bare

ROOT = Path(__file__).parents[2]
MODELS = ("qwen2.5-vl-3b", "qwen3.5-4b")
CAPS = (24, 16)
"""GiB."""
STAGES = ("sft", "dpo", "grpo")
TRAINERS = ("TRL", "ours")
NUM_STEPS = 6
MINUTES = 12.0
"""Seconds for all cases, from the start of the script."""
KILLED = [sys.executable, "-m", "tests.stages.lifecycle.kills", "--kills", "1", "--stage", "sft"]
RESULT = ROOT / "runs" / "gpu-check.md"


class Case(NamedTuple):
    """One case to measure."""

    recipe: str
    """Its folder; that of a model and a cap is MODEL-CAPgib."""
    stage: str
    trainer: str


def bare_trainer(setup):
    """Return TRL's own trainer for the same stage."""
    return build_bare(setup.job.stage, setup.job.config, setup.model, setup.processor, setup.dataset)


def parse(recipe, stage, data, *flags):
    """Return a recipe's stage on rows of the pocket world, with pictures scaled up to the maximum size."""
    config = Path(recipe) / f"{stage}.yaml"
    arguments, trl_config = parse_stage(stage, ["--config", str(config), f"--data={data / stage}.jsonl", *flags])
    if arguments.max_pixels is not None:
        arguments = replace(arguments, min_pixels=arguments.max_pixels)
    return replace(arguments, parent=None), trl_config


def write_fitted(model_name, gib, folder):
    """Write the recipes of a model for a cap, and return their folder; None if nothing fits."""
    model = find_model(model_name)
    found = fit(model, gib, STAGES)
    place = folder / f"{model_name}-{gib}gib"
    plans = planned(found.stages, None, None)
    write_recipes(recipe_files(found, plans, Places(place.name, place.name)), place)
    return place if found.stages else None


def write_model(model_name, recipe, data, folder):
    """Write random weights with the shape of a recipe's model, and a processor with the words of the rows."""
    arguments, _ = parse(recipe, "sft", data)
    config = shape_config(model_name)
    rows = [row for stage in STAGES for row in read_training_rows(data / f"{stage}.jsonl", SPECS[stage].row_type, None)]
    write_random_model(config, stand_in_processor(rows, config, arguments), arguments, folder)


@quiet_libraries()
def measured(case, model, data, folder, *flags):
    """Return the measurement of a few steps, and preflight's estimate, as a JSON object."""
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
        rows=read_training_rows(Path(arguments.data), SPECS[stage].row_type, None),
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


def in_a_process(seconds, *arguments):
    """Measure in a separate process; return the result, or a line with the error."""
    if seconds <= 0:
        return "not run: out of time"
    command = [sys.executable, "-m", "tests.bench.gpu_check", "--one", *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "not finished: out of time"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def killed_and_resumed(seconds):
    """Return a line that says whether a killed stage gave the same result as an uninterrupted one."""
    if seconds <= 0:
        return "not run: out of time"
    try:
        done = subprocess.run(KILLED, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "not finished: out of time"
    last = (done.stdout.strip() or done.stderr.strip()).splitlines() or [""]
    return f"exit {done.returncode}: {last[-1]}"


def markdown_of(results, *, device, resumed):
    """Return the results as a table with measurements, estimates and the machine."""
    lines = [
        "| recipe | stage | trainer | estimate GiB | peak GiB | reserved GiB | tokens/s |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for case, found in results.items():
        names = f"| {Path(case.recipe).name} | {case.stage} | {case.trainer} |"
        if isinstance(found, str):
            lines.append(f"{names} {found.replace('|', '/')} | | | |")
            continue
        cells = ("" if found[name] is None else f"{found[name]:.2f}" for name in ("estimate", "peak", "reserved"))
        lines.append(f"{names} {' | '.join(cells)} | {found['tokens_per_s']:,.0f} |")
    note = f"{device}; each under a cap of the memory that its recipe names. Killed and resumed: {resumed}."
    return "\n".join([*lines, "", note, ""])


def run_all(models, caps, stages, minutes):
    """Return the results of all cases, as far as the time allows, and whether a killed stage was resumed."""
    ends = time.monotonic() + 60 * minutes
    results = {}
    with tempfile.TemporaryDirectory(prefix="tritrace-gpu-") as name:
        folder = Path(name)
        build_pocket(folder / "data", Sizes(sft=8, dpo=4, grpo=8, validation=0, test=0), seed=0)
        for model_name, cap in product(models, caps):
            recipe = write_fitted(model_name, cap, folder)
            if recipe is None:
                results[Case(f"{model_name}-{cap}gib", "", "")] = "nothing fits"
                continue
            weights = Path(tempfile.mkdtemp(dir=folder))
            if time.monotonic() < ends:
                write_model(model_name, recipe, folder / "data", weights)
            for stage, trainer in product(stages, TRAINERS):
                case = Case(str(recipe), stage, trainer)
                left = ends - time.monotonic()
                results[case] = in_a_process(left, *case, weights, folder / "data", folder / "out")
                sys.stderr.write(f"{recipe.name} {stage} {trainer}: {results[case]}\n")
            shutil.rmtree(weights)
        return results, killed_and_resumed(ends - time.monotonic())


def main():
    """Measure the requested models, caps, stages and trainers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=shape_names(), action="append", help="may be repeated")
    parser.add_argument("--cap", type=int, action="append", help="GiB; may be repeated")
    parser.add_argument("--stage", choices=STAGES, action="append", help="may be repeated; all by default")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="what does not fit in is not run")
    parser.add_argument("--one", nargs=6, metavar="WORD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(Case(*options.one[:3]), *map(Path, options.one[3:]))))  # noqa: T201
        return
    if not torch.cuda.is_available():
        sys.exit("gpu-check: there is no GPU here; nothing was run")
    results, resumed = run_all(options.model or MODELS, options.cap or CAPS, options.stage or STAGES, options.minutes)
    text = markdown_of(results, device=torch.cuda.get_device_name(), resumed=resumed)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{text}wrote {RESULT.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
