"""`tritrace eval` and `tritrace tasks`: sample a checkpoint or a server, score every response, say what came of it.

A server is asked without torch. What is complete is read and not repeated; what was interrupted goes on with the
sample at which it stopped.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from protocol.errors import UserError
from protocol.prompt import Style
from stages.arguments.judge import JudgeArguments, Kind, build_judge, judge_settings
from stages.cli.candidates import (
    AllowBroken,
    AllowPickle,
    Candidate,
    Ground,
    TrustRemoteCode,
    checkpoint_of,
    server_of,
    style_of,
)
from stages.cli.extras import need_scipy

if TYPE_CHECKING:
    from eval.judges import Judge
    from eval.policies.base import Policy
    from eval.results.samples import Sample
    from stages.cli.results.task_tables import Question

_JUDGE = JudgeArguments()
_CONCURRENCY, _TIMEOUT = 16, 120.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("eval")(evaluate)
    app.command()(tasks)


def tasks() -> None:
    """List the evaluation tasks: what they measure, and where their queries come from."""
    need_scipy()
    from data.sources.registry import built_in_sources
    from eval.tasks import built_in_tasks

    sources = built_in_sources()
    table = Table(box=box.SIMPLE_HEAD, caption="Each is a file in eval/tasks/catalogue; --task FILE takes your own.")
    for column in ("task", "measures", "queries", "licence", "about"):
        table.add_column(column, overflow="fold")
    for task in built_in_tasks().values():
        licence = sources[task.source].licence if task.source in sources else "Apache-2.0"
        table.add_row(task.name, task.measures, f"{task.source}, {task.split}", licence, task.about)
    Console(highlight=False).print(table)


def evaluate(
    output: Annotated[Path, typer.Option(help="folder for samples.jsonl and metrics.json")],
    data: Annotated[Path | None, typer.Option(help="rollout prompts; or with --task the rows of its set")] = None,
    task: Annotated[list[str] | None, typer.Option(help="a name from `tritrace tasks`, or a file; repeatable")] = None,
    adapter: Annotated[Path | None, typer.Option(help="a stage's folder")] = None,
    model: Annotated[str | None, typer.Option(help="a base or merged model, or NAME@REVISION, without adapter")] = None,
    load_in_4bit: Annotated[bool | None, typer.Option(help="quantise to NF4  [default: as trained]")] = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
    allow_broken: AllowBroken = False,
    endpoint: Annotated[str | None, typer.Option(help="a server, such as http://localhost:8000/v1")] = None,
    endpoint_model: Annotated[str | None, typer.Option(help="the server's name of the model")] = None,
    endpoint_server: Annotated[str, typer.Option(help="vllm, sglang, llama.cpp or openai; auto asks it")] = "auto",
    endpoint_concurrency: Annotated[int, typer.Option(help="requests at the same time")] = _CONCURRENCY,
    endpoint_timeout: Annotated[float, typer.Option(help="seconds for one request")] = _TIMEOUT,
    picture_ground: Ground = None,
    prompt_style: Annotated[str | None, typer.Option(help="of tasks: full or compact  [default: as trained]")] = None,
    constrained: Annotated[bool, typer.Option(help="decode a second time, under each plan's grammar")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="prompts sampled together  [default: what fits]")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="limit of a response  [default: as trained]")
    ] = None,
    max_prompts: Annotated[int | None, typer.Option(help="of --data the first, of a task a draw of so many")] = None,
    judge: Annotated[Kind, typer.Option(help="rules, an OpenAI-compatible endpoint, or a guard model")] = _JUDGE.judge,
    judge_url: Annotated[str | None, typer.Option(help="such as http://localhost:8000/v1; key: OPENAI_API_KEY")] = None,
    judge_model: Annotated[str | None, typer.Option(help="the endpoint's model, or the guard's folder")] = None,
    judge_concurrency: Annotated[int, typer.Option(help="questions at the same time")] = _JUDGE.judge_concurrency,
    judge_timeout: Annotated[float, typer.Option(help="seconds for one request")] = _JUDGE.judge_timeout,
    judge_max_tokens: Annotated[int, typer.Option(help="of a verdict, thoughts included")] = _JUDGE.judge_max_tokens,
    judge_cache: Annotated[str | None, typer.Option(help="file of verdicts; '' keeps none")] = _JUDGE.judge_cache,
    judge_max_unscored: Annotated[float, typer.Option(help="share that may go unscored")] = _JUDGE.judge_max_unscored,
    judge_window: Annotated[int, typer.Option(help="of so many last questions")] = _JUDGE.judge_window,
) -> None:
    """Sample a checkpoint or a server, score every response, and print the metrics with 95 % intervals.

    Exit 1: more went unscored than --judge-max-unscored allows; the reasons are printed.

    Whatever stops it, the same command goes on where it stopped. With several tasks, also their unweighted average.

    With --constrained also under each plan's grammar, into OUTPUT/constrained, and both side by side.
    """
    need_scipy()
    from stages.cli.results.task_tables import show

    judging = JudgeArguments(
        judge=judge,
        judge_url=judge_url,
        judge_model=judge_model,
        judge_concurrency=judge_concurrency,
        judge_timeout=judge_timeout,
        judge_max_tokens=judge_max_tokens,
        judge_cache=judge_cache or None,
        judge_max_unscored=judge_max_unscored,
        judge_window=judge_window,
    )
    judged_by = build_judge(judging)  # before anything is loaded: what is wrong with it is said at once
    if endpoint is not None:
        candidate = server_of(
            endpoint,
            endpoint_model,
            endpoint_server,
            endpoint_concurrency,
            endpoint_timeout,
            max_new_tokens,
            picture_ground,
        )
        if adapter or model or load_in_4bit is not None:
            raise UserError("eval: --endpoint is asked alone, without --adapter, --model and --load-in-4bit")
    else:
        allowed = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle, "allow_broken": allow_broken}
        candidate = checkpoint_of(model, adapter, load_in_4bit, batch_size, max_new_tokens, allowed, picture_ground)
    questions = _questions(data, task or [], output, style_of(prompt_style) or candidate.style, max_prompts)
    with judged_by:
        found = {each.name: _measure(candidate, each, judged_by, judging, constrained) for each in questions}
        for line in judged_by.report():
            typer.echo(line, err=True)
    show(found, questions, output)
    if _tell_unscored(found, judge_max_unscored):
        raise typer.Exit(1)


def _tell_unscored(found: Mapping[str, Mapping[str, "Sequence[Sample]"]], max_unscored: float) -> bool:
    """Say what went unscored and why; return whether it is too much for the numbers to be a result."""
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


def _questions(
    data: Path | None, names: Sequence[str], output: Path, style: Style, max_prompts: int | None
) -> list["Question"]:
    from data.files import read_rows
    from data.rows import RolloutPrompt
    from eval.tasks import find_task
    from eval.tasks.prompts import PromptSet, draw_prompts, task_prompts
    from stages.cli.results.task_tables import Question

    if not names:
        if data is None:
            raise UserError("eval: give --data, a file of rollout prompts, or --task, a name from `tritrace tasks`")
        found = PromptSet(read_rows(data, RolloutPrompt)[:max_prompts], data.parent)
        if not found.prompts:
            raise UserError(f"eval: {data} holds no prompts")
        return [Question(output.name, None, found, output)]
    if data is not None and len(names) > 1:
        raise UserError("eval: --data has the rows of one task; leave it out, or give one --task")
    chosen = [find_task(name) for name in dict.fromkeys(names)]
    return [
        Question(each.name, each, draw_prompts(task_prompts(each, folder, style=style, rows=data), max_prompts), folder)
        for each in chosen
        for folder in [output / each.name]
    ]


def _measure(
    candidate: Candidate, question: "Question", judge: "Judge", judging: JudgeArguments, constrained: bool
) -> dict[str, "Sequence[Sample]"]:
    """Return the samples of each way to decode, by its name; constrained first, which may refuse before it samples."""
    from eval.evaluation import evaluate_once, is_complete
    from toolkit.catalogue import fingerprint as protocol_fingerprint

    folder = question.folder
    folders = {"constrained": folder / "constrained", "free": folder} if constrained else {question.name: folder}
    samples = {}
    for name, place in folders.items():
        is_constrained = place != folder
        sampling = {
            **candidate.identity,
            "prompts": question.found.fingerprint,
            "protocol": protocol_fingerprint(),
            "constrained": is_constrained,
        }
        judged_by = judge_settings(judging)
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
