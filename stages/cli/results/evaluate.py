"""`tritrace eval`: samples a checkpoint or a server, scores every response and prints the metrics.

A server needs no torch. A complete evaluation is read and not repeated; an interrupted one continues with the next
sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import UserError
from protocol.plans.prompt import Style
from stages.arguments.judge import JudgeArguments, build_judge, judge_settings
from stages.cli.candidates import Candidate, checkpoint_of, server_of, style_of
from stages.cli.extras import need_scipy
from stages.cli.options import CheckpointOptions, Ground, NewTokens, PromptStyle, ServerOptions, from_options

if TYPE_CHECKING:
    from eval.judges import Judge
    from eval.policies.base import Policy
    from eval.results.samples import Sample
    from stages.cli.results.task_tables import EvaluationSet


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval")(from_options(evaluate))


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `tritrace eval`."""

    output: Annotated[Path, typer.Option(help="folder for samples.jsonl and metrics.json")]
    data: Annotated[Path | None, typer.Option(help="rollout prompts; with --task, the rows of its set")] = None
    task: Annotated[list[str] | None, typer.Option(help="a name from `tritrace tasks`, or a file; repeatable")] = None
    checkpoint: CheckpointOptions
    server: ServerOptions
    vllm: Annotated[str | None, typer.Option(help="sample with vLLM: an interpreter with vLLM")] = None
    picture_ground: Ground = None
    prompt_style: PromptStyle = None
    constrained: Annotated[bool, typer.Option(help="decode a second time, constrained to each plan's grammar")] = False
    batch_size: Annotated[int | None, typer.Option(min=1, help="prompts sampled together  [default: what fits]")] = None
    max_new_tokens: NewTokens = None
    max_prompts: Annotated[int | None, typer.Option(help="first prompts of --data, or a sample of a task")] = None
    judging: JudgeArguments


def evaluate(options: EvaluateOptions) -> None:
    """Sample a checkpoint or a server, score every response, and print the metrics with 95 % intervals.

    Exit 1: more responses are unscored than --judge-max-unscored allows; the reasons are printed.

    After an interruption, the same command continues. With several tasks, it also prints their unweighted average.

    With --constrained, it also evaluates constrained decoding, into OUTPUT/constrained, and prints both.
    """
    need_scipy()
    from stages.cli.results.task_tables import show

    judged_by = build_judge(options.judging)  # before loading, so that mistakes are reported at once
    candidate = _candidate(options)
    questions = _questions(options, style_of(options.prompt_style) or candidate.style)
    with judged_by:
        found = {each.name: _measure(candidate, each, judged_by, options) for each in questions}
        for line in judged_by.report():
            typer.echo(line, err=True)
    show(found, questions, options.output)
    if _tell_unscored(found, options.judging.judge_max_unscored):
        raise typer.Exit(1)


def _tell_unscored(found: Mapping[str, Mapping[str, "Sequence[Sample]"]], max_unscored: float) -> bool:
    """Print how much is unscored and why; return whether it is too much."""
    from eval.results.shortfall import shortfall

    is_too_much = False
    for name, ways in found.items():
        for way, samples in ways.items():
            short = shortfall(samples)
            place = name if way == name else f"{name}, {way}"
            for line in short.lines():
                typer.echo(f"{place}: {line}", err=True)
            if short.share > max_unscored:
                allowed = f"--judge-max-unscored {max_unscored:g}"
                typer.echo(f"{place}: {short.share:.0%} unscored is more than {allowed} allows: no result", err=True)
                is_too_much = True
    return is_too_much


def _candidate(options: EvaluateOptions) -> Candidate:
    chosen, server = options.checkpoint, options.server
    if server.endpoint is None:
        return checkpoint_of(
            chosen,
            batch_size=options.batch_size,
            max_new_tokens=options.max_new_tokens,
            picture_ground=options.picture_ground,
            vllm=options.vllm,
        )
    found = server_of(
        server,
        max_new_tokens=options.max_new_tokens,
        concurrency=server.endpoint_concurrency,
        picture_ground=options.picture_ground,
    )
    if chosen.adapter or chosen.model or options.vllm or chosen.load_in_4bit is not None:
        raise UserError("eval: --endpoint is asked alone, without --adapter, --model, --vllm and --load-in-4bit")
    return found


def _questions(options: EvaluateOptions, style: Style) -> list["EvaluationSet"]:
    from data.files.json_lines import read_rows
    from data.rows import RolloutPrompt
    from eval.tasks import find_task
    from eval.tasks.prompts import PromptSet, draw_prompts, task_prompts
    from stages.cli.results.task_tables import EvaluationSet

    data, names, output, max_prompts = options.data, options.task or [], options.output, options.max_prompts
    if not names:
        if data is None:
            raise UserError("eval: give --data, a file of rollout prompts, or --task, a name from `tritrace tasks`")
        found = PromptSet(read_rows(data, RolloutPrompt)[:max_prompts], data.parent)
        if not found.prompts:
            raise UserError(f"eval: {data} holds no prompts")
        return [EvaluationSet(output.name, None, found, output)]
    if data is not None and len(names) > 1:
        raise UserError("eval: --data has the rows of one task; leave it out, or give one --task")
    chosen = [find_task(name) for name in dict.fromkeys(names)]
    return [
        EvaluationSet(
            each.name, each, draw_prompts(task_prompts(each, folder, style=style, rows=data), max_prompts), folder
        )
        for each in chosen
        for folder in [output / each.name]
    ]


def _measure(
    candidate: Candidate, question: "EvaluationSet", judge: "Judge", options: EvaluateOptions
) -> dict[str, "Sequence[Sample]"]:
    """Return the samples by decoding mode; constrained decoding comes first, because it may fail before sampling."""
    from eval.evaluation import evaluate_once, is_complete
    from toolkit.catalogue import fingerprint as protocol_fingerprint

    folder = question.folder
    folders = (
        {"constrained": folder / "constrained", "free": folder} if options.constrained else {question.name: folder}
    )
    samples = {}
    for name, place in folders.items():
        is_constrained = place != folder
        sampling = {
            **candidate.identity,
            "prompts": question.found.fingerprint,
            "protocol": protocol_fingerprint(),
            "constrained": is_constrained,
        }
        judged_by = judge_settings(options.judging)
        if is_complete(place, sampling | judged_by):
            typer.echo(f"{name}: {place} is complete; read", err=True)
        samples[name] = evaluate_once(
            partial(_loaded, candidate, is_constrained=is_constrained),
            question.found.prompts,
            question.found.images_root,
            judge,
            folder=place,
            sampling=sampling,
            judged_by=judged_by,
        )
    return dict(reversed(samples.items()))


def _loaded(candidate: Candidate, *, is_constrained: bool) -> "Policy":
    policy = candidate.load()
    policy.constrained = is_constrained
    return policy
