"""Measures peak memory and tokens per second of real models on a GPU, for our trainers and TRL's: `make gpu-check`.

For each model and cap (24 and 16 GiB), the recipes come from `tritrace fit`, whatever the GPU is. Each case runs in a
separate process: a few steps on copies of one row, with the largest picture that the recipe allows and, in GRPO,
responses of full length. The weights are random with the model's exact shape, so that nothing is downloaded. TRL's
trainers get the same model, adapter, settings and row; GRPO gets a constant reward. Then the pocket curriculum is
trained, whose last line says whether its numbers are as published for CPUs, and a stage is killed and resumed
(`tests/stages/lifecycle/kills.py`). For what does not fit into the time, a line says so.

    python -m tests.bench.gpu_check --rehearse

does the same on a CPU with a tiny model. The table is printed, and written as Markdown to `runs/gpu-check.md`
(`runs/gpu-rehearsal.md` in a rehearsal), ready for RESULTS.md.
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

from data.building.build import Sizes, build_pocket
from eval.models.loading import load_config, quiet_libraries
from eval.models.processors import load_processor
from stages.arguments.stage import parse_stage
from stages.inputs.columns import read_training_rows
from stages.inputs.loading import load_options
from stages.memory.estimate import GIB, estimate
from stages.memory.shapes import model_shape, shape_names
from stages.preflight.check import StageSubject, longest_row, step_of
from stages.rehearsal.measure import measure
from stages.rehearsal.stand_in import stand_in_processor, write_random_model
from stages.spec import SPECS
from tests.bench.bare import build_bare
from tests.bench.gpu_plan import REAL, REHEARSAL, STAGES

ROOT = Path(__file__).parents[2]
TRAINERS = ("TRL", "ours")
NUM_STEPS = 6


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


def write_model(config, recipe, data, folder):
    """Write random weights with the shape of a recipe's model, and a processor with the words of the rows."""
    arguments, _ = parse(recipe, "sft", data)
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
    subject = StageSubject(
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


def last_line(seconds, command):
    """Return the last line that a command says, behind its exit status."""
    if seconds <= 0:
        return "not run: out of time"
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "not finished: out of time"
    said = (done.stderr if done.returncode else done.stdout) or done.stdout or done.stderr
    return f"exit {done.returncode}: {(said.strip().splitlines() or [''])[-1].strip()}"


def markdown_of(results, closing, *, device):
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
    note = f"{device}; each under a cap of the memory that its recipe names."
    return "\n".join([*lines, "", note, "", *(f"* {name}: {found}." for name, found in closing.items()), ""])


def run_all(plan, began):
    """Return the results of all cases and of the closing checks, as far as the time allows."""
    ends = began + 60 * plan.minutes
    last_case = ends - 60 * plan.closing_minutes
    results = {}
    with tempfile.TemporaryDirectory(prefix="tritrace-gpu-") as name:
        folder = Path(name)
        build_pocket(folder / "data", Sizes(sft=8, dpo=4, grpo=8, validation=0, test=0), seed=0)
        for model_name, cap in product(plan.models, plan.caps):
            recipe = plan.write_recipes(model_name, cap, folder)
            if recipe is None:
                results[Case(f"{model_name}-{cap}gib", "", "")] = "nothing fits"
                continue
            weights = Path(tempfile.mkdtemp(dir=folder))
            if time.monotonic() < last_case:
                write_model(plan.config_of(model_name), recipe, folder / "data", weights)
            for stage, trainer in product(STAGES, TRAINERS):
                case = Case(str(recipe), stage, trainer)
                left = last_case - time.monotonic()
                results[case] = in_a_process(left, *case, weights, folder / "data", folder / "out")
                sys.stderr.write(f"{recipe.name} {stage} {trainer}: {results[case]}\n")
            shutil.rmtree(weights)
        # The kills take half a minute, and get what the curriculum leaves, or a minute.
        curriculum = last_line(ends - time.monotonic() - 60, [*plan.curriculum, str(folder / "pocket")])
        killed = last_line(ends - time.monotonic(), plan.kills)
        return results, {"Pocket curriculum": curriculum, "Killed and resumed": killed}


def main():
    """Measure the models and caps of the plan, or those requested."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=shape_names(), action="append", help="may be repeated")
    parser.add_argument("--cap", type=int, action="append", help="GiB; may be repeated")
    parser.add_argument("--minutes", type=float, help="all together; what does not fit in is not run")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with a tiny model")
    parser.add_argument("--one", nargs=6, metavar="WORD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(Case(*options.one[:3]), *map(Path, options.one[3:]))))  # noqa: T201
        return
    has_gpu = torch.cuda.is_available()
    if not (has_gpu or options.rehearse):
        sys.exit("gpu-check: there is no GPU here; nothing was run (--rehearse runs it on the CPU)")
    plan = REHEARSAL if options.rehearse else REAL
    told = {"models": options.model, "caps": options.cap, "minutes": options.minutes}
    plan = replace(plan, **{name: value for name, value in told.items() if value is not None})
    results, closing = run_all(plan, began)
    device = "rehearsal on a CPU: the numbers mean nothing" if options.rehearse else torch.cuda.get_device_name()
    text = markdown_of(results, closing, device=device)
    path = ROOT / "runs" / ("gpu-rehearsal.md" if options.rehearse else "gpu-check.md")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{text}wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
