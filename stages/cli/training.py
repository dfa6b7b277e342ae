"""`tritrace curriculum`, `sft`, `dpo`, `grpo` and `eval`: the commands that need torch, imported when one is run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from protocol.errors import UserError
from stages.judging import JudgeArguments, Kind, build_judge, judge_settings

_JUDGE = JudgeArguments()
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=_PASS_ON)(curriculum)
    for command in (sft, dpo, grpo):
        app.command(context_settings=_PASS_ON)(command)
    app.command("eval")(evaluate)


def curriculum(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="such as stages/recipes/pocket/curriculum.yaml")],
) -> None:
    """Run all three stages with an evaluation after each, and write the report.

    Any field of the recipe can be given as a flag, such as --seeds 0 1 2 or --output runs/mine. What is finished and
    unchanged is skipped; what was interrupted is continued.
    """
    from stages.curriculum import run_curriculum

    run_curriculum(recipe, context.args)


def sft(context: typer.Context) -> None:
    """Train one stage: supervised fine-tuning. Takes --config FILE and any field of the recipe as a flag."""
    from stages import sft as stage
    from stages.arguments import parse_stage

    stage.run(*parse_stage("sft", context.args))


def dpo(context: typer.Context) -> None:
    """Train one stage: direct preference optimisation. Takes --config FILE and any field of the recipe as a flag."""
    from stages import dpo as stage
    from stages.arguments import parse_stage

    stage.run(*parse_stage("dpo", context.args))


def grpo(context: typer.Context) -> None:
    """Train one stage: group relative policy optimisation. Takes --config FILE and any recipe field as a flag."""
    from stages import grpo as stage
    from stages.arguments import parse_stage

    stage.run(*parse_stage("grpo", context.args))


def evaluate(
    data: Annotated[Path, typer.Option(help="rollout prompts, such as runs/pocket/data/test.jsonl")],
    output: Annotated[Path, typer.Option(help="folder for samples.jsonl and metrics.json")],
    adapter: Annotated[Path | None, typer.Option(help="a stage's folder")] = None,
    model: Annotated[str | None, typer.Option(help="a base model, where there is no adapter")] = None,
    constrained: Annotated[bool, typer.Option(help="decode a second time, under each plan's grammar")] = False,
    batch_size: Annotated[int, typer.Option(help="prompts sampled together")] = 64,
    max_new_tokens: Annotated[int, typer.Option(help="limit of a response")] = 256,
    max_prompts: Annotated[int | None, typer.Option(help="evaluate the first so many only")] = None,
    judge: Annotated[Kind, typer.Option(help="rules, an OpenAI-compatible endpoint, or a guard model")] = _JUDGE.judge,
    judge_url: Annotated[str | None, typer.Option(help="such as http://localhost:8000/v1; key: OPENAI_API_KEY")] = None,
    judge_model: Annotated[str | None, typer.Option(help="the endpoint's model, or the guard's folder")] = None,
    judge_concurrency: Annotated[int, typer.Option(help="questions at the same time")] = _JUDGE.judge_concurrency,
    judge_timeout: Annotated[float, typer.Option(help="seconds for one request")] = _JUDGE.judge_timeout,
    judge_cache: Annotated[str | None, typer.Option(help="file of verdicts; '' keeps none")] = _JUDGE.judge_cache,
    judge_max_unscored: Annotated[float, typer.Option(help="share that may go unscored")] = _JUDGE.judge_max_unscored,
    judge_window: Annotated[int, typer.Option(help="of so many last questions")] = _JUDGE.judge_window,
) -> None:
    """Sample a checkpoint, score every response, and print the metrics with 95 % intervals.

    A judge that fails too often stops the command; given again, it samples and judges only what is missing.

    With --constrained also under each plan's grammar, into OUTPUT/constrained, and both side by side.
    """
    from data.files import file_fingerprint, read_rows
    from data.rows import RolloutPrompt
    from eval.evaluation import evaluate as sample_and_score
    from eval.evaluation import write_evaluation
    from eval.metrics import estimates
    from eval.table import terminal_table
    from stages.lifecycle import model_revision
    from stages.manifest import read_manifest
    from stages.policies import load_policy

    if (adapter is None) == (model is None):
        raise UserError("eval: give either --adapter, a stage's folder, or --model, a base model")
    judge_arguments = JudgeArguments(
        judge=judge,
        judge_url=judge_url,
        judge_model=judge_model,
        judge_concurrency=judge_concurrency,
        judge_timeout=judge_timeout,
        judge_cache=judge_cache or None,
        judge_max_unscored=judge_max_unscored,
        judge_window=judge_window,
    )
    judged_by = build_judge(judge_arguments)  # before anything is loaded: what is wrong with it is said at once
    manifest = read_manifest(adapter / "manifest.json") if adapter else None
    prompts = read_rows(data, RolloutPrompt)[:max_prompts]
    policy = load_policy(model, adapter, batch_size=batch_size, max_new_tokens=max_new_tokens)
    folders = {"constrained": output / "constrained", "free": output} if constrained else {output.name: output}
    sampling = {
        "checkpoint": manifest.digest if manifest else model_revision(str(model)),
        "prompts": file_fingerprint(data),
        "batch_size": batch_size,
        "max_new_tokens": max_new_tokens,
    }
    settings = {"adapter": str(adapter), "model": model} | judge_settings(judge_arguments)
    columns = {}
    with judged_by:
        for name, folder in folders.items():  # constrained first: it says before sampling where the budget is too small
            is_constrained = {"constrained": folder != output}
            policy.constrained = folder != output
            samples = sample_and_score(
                policy, prompts, data.parent, judged_by, folder=folder, sampling=sampling | is_constrained
            )
            write_evaluation(folder, samples, settings | is_constrained)
            columns[name] = estimates([samples])
        for line in judged_by.report():
            typer.echo(line, err=True)
    console = Console()
    console.print(terminal_table(dict(reversed(columns.items())), width=console.width))
