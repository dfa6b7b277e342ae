"""`tritrace data synthesize`: SFT rows whose traces and answers a teacher model writes."""

import importlib.util
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.files import read_rows
from data.pixels import GROUND
from data.quotas import read_quotas
from data.rows import Query
from protocol.errors import UserError
from stages.arguments.judge import JudgeArguments, Kind, build_judge, judge_settings
from stages.cli.candidates import ground_named
from stages.cli.options import Ground, Only
from stages.cli.rows.sampling import check_beside
from stages.cli.rows.template import complete_stages
from stages.cli.validate.records import plan_option
from toolkit.planner import Planner, plan_query
from toolkit.sampling import SamplingPlanner

if TYPE_CHECKING:
    from data.teacher.settings import TeacherSettings
    from data.teacher.synthesis import Synthesis
    from eval.judges import Judge

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """Who writes, and how it is asked."""

    teacher_url: Annotated[
        str, typer.Option(envvar="OPENAI_BASE_URL", help="such as http://localhost:8000/v1; key: OPENAI_API_KEY")
    ]
    teacher_model: Annotated[str, typer.Option(help="the endpoint's name of the teacher")]
    teacher_cache: Annotated[Path | None, typer.Option(help="replies  [default: OUTPUT.replies.sqlite]")] = None
    repairs: Annotated[int, typer.Option(min=0, help="times that diagnostics go back to the teacher")] = 2
    blind: Annotated[bool, typer.Option("--blind", help="do not tell the teacher what is known of a query")] = False
    picture_ground: Ground = None
    constrain: Annotated[
        Literal["auto", "vllm", "llama-cpp", "none"], typer.Option(help="how a plan's grammar is handed over")
    ] = "auto"
    temperature: Annotated[float, typer.Option(min=0.0, help="of the teacher")] = 0.0
    max_tokens: Annotated[int, typer.Option(min=1, help="of one reply")] = 2048
    concurrency: Annotated[int, typer.Option(min=1, help="questions at the same time")] = 8
    timeout: Annotated[float, typer.Option(min=0.01, help="seconds for one request")] = 120.0
    attempts: Annotated[int, typer.Option(min=1, help="requests for a reply, while failures may pass")] = 4
    max_unanswered: Annotated[float, typer.Option(min=0, max=1, help="share of the last 50 that may fail")] = 0.2
    price_in: Annotated[float, typer.Option(min=0, help="of a million prompt tokens")] = 0.0
    price_out: Annotated[float, typer.Option(min=0, help="of a million completion tokens")] = 0.0


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which rows are kept."""

    judge: Annotated[Kind | None, typer.Option(help="keep only rows that a judge finds good enough")] = None
    judging: Annotated[JudgeArguments, Only(("judge_url", "judge_model", "judge_max_tokens", "judge_cache"))]
    min_safety: Annotated[float, typer.Option(help="least safety, -3..3, of each row")] = 2.0
    min_mean: Annotated[float, typer.Option(help="least mean of helpfulness and rigor, 0..3, of each row")] = 2.0


@dataclass(frozen=True, kw_only=True)
class SynthesizeOptions:
    """Options of `tritrace data synthesize`."""

    data: Annotated[Path, typer.Option(help="queries, such as runs/vlguard/queries.jsonl")]
    output: Annotated[Path, typer.Option(help="the file of SFT rows, beside the queries: images are relative to it")]
    planner: Annotated[Literal["rule", "sampling"], typer.Option(help="who chooses the plans")] = "rule"
    plan: Annotated[str | None, typer.Option(help="one plan for all instead: a JSON file, or a name")] = None
    plans_per_query: Annotated[int, typer.Option(min=1, help="rows a query, each under another sampled plan")] = 1
    style: Annotated[Literal["compact", "full"], typer.Option(help="of the rows' prompts")] = "compact"
    split: Annotated[str, typer.Option(help="queries of this split only")] = "train"
    quota: Annotated[
        list[str] | None, typer.Option(help="most rows of a kind: quadrant=safe/safe/unsafe:500, category=*:100")
    ] = None
    limit: Annotated[int | None, typer.Option(min=1, help="the first so many queries only")] = None
    seed: Annotated[int, typer.Option(help="of sampled plans and of the teacher")] = 0
    teacher: TeacherOptions
    kept: FilterOptions
    all_stages: Annotated[
        bool, typer.Option("--all-stages", help="also dpo, grpo and the held-out prompts, for a curriculum")
    ] = False


def synthesized(options: SynthesizeOptions) -> None:
    """Have a teacher write SFT rows. Interrupted or killed, the same command goes on and asks nothing twice.

    Exit 0: done; 1: some got no reply or no verdict, and the same command asks again; 2: it stopped, and says why.
    """
    _require_extra()
    from data.teacher.conversation import AGAIN
    from data.teacher.run import synthesize
    from stages.cli.rows.spending import Display, Prices, summary

    planners = _planners(options)
    synthesis = _synthesis(options, planners)
    prices = Prices(options.teacher.price_in, options.teacher.price_out)
    with ExitStack() as stack:
        judge, synthesis = _judged(options, synthesis)
        if judge is not None:
            stack.enter_context(judge)
        try:
            progress = synthesize(synthesis, stack.enter_context(Display(prices)))
        except KeyboardInterrupt:
            typer.echo(f"{options.output}: interrupted; the same command goes on, and asks nothing twice", err=True)
            raise typer.Exit(INTERRUPTED) from None
        lines = [*summary(progress, prices), *(judge.report() if judge is not None else ())]
    for line in lines:
        typer.echo(line, err=True)
    rejected, report = synthesis.rejected_path, synthesis.report_path
    typer.echo(f"{options.output}: rows; set aside with reasons: {rejected}; counts: {report}")
    if options.all_stages:
        complete_stages(options.data, planners[0], options.style, options.seed)
    raise typer.Exit(int(any(progress.fates[fate] for fate in AGAIN)))


def _synthesis(options: SynthesizeOptions, planners: list[Planner]) -> "Synthesis":
    """Return what is to be written, without a filter.

    Raises:
        UserError: there is no query, or the output has no place.
    """
    from data.teacher.synthesis import Synthesis

    data, output = options.data, options.output
    check_beside(output, data)
    if options.all_stages and (data.name, output.name) != ("queries.jsonl", "sft.jsonl"):
        raise UserError("--all-stages needs --data FOLDER/queries.jsonl and --output FOLDER/sft.jsonl of one folder")
    queries = [query for query in read_rows(data, Query) if query.split == options.split][: options.limit]
    if not queries:
        raise UserError(f"{data}: there is no query of the split {options.split!r}; --split names another")
    synthesis = Synthesis(
        queries=queries,
        output=output,
        teacher=_teacher(options),
        planners=planners,
        style=options.style,
        quotas=read_quotas(options.quota or ()),
        about={
            "planner": options.plan or options.planner,
            "plans_per_query": options.plans_per_query,
            "split": options.split,
            "limit": options.limit,
        },
    )
    _check_free(synthesis)
    return synthesis


def _teacher(options: SynthesizeOptions) -> "TeacherSettings":
    from data.teacher.settings import TeacherSettings

    given = options.teacher
    return TeacherSettings(
        base_url=given.teacher_url,
        model=given.teacher_model,
        cache_path=given.teacher_cache or options.output.with_suffix(".replies.sqlite"),
        num_repairs=given.repairs,
        constraint=given.constrain,
        temperature=given.temperature,
        max_tokens=given.max_tokens,
        seed=options.seed,
        is_blind=given.blind,
        picture_ground=ground_named(given.picture_ground) or GROUND,
        concurrency=given.concurrency,
        timeout_seconds=given.timeout,
        num_attempts=given.attempts,
        max_unanswered=given.max_unanswered,
    )


def _judged(options: SynthesizeOptions, synthesis: "Synthesis") -> "tuple[Judge | None, Synthesis]":
    """Return the judge that filters the rows, to be closed, and the synthesis with it; None where none is asked for."""
    from stages.cli.rows.filtering import Bounds, judging

    kept = options.kept
    if kept.judge is None:
        return None, synthesis
    arguments = replace(kept.judging, judge=kept.judge)
    judge = build_judge(arguments)
    own = {"judge": kept.judge, "min_safety": kept.min_safety, "min_mean": kept.min_mean}
    about = {**synthesis.about, **judge_settings(arguments), **own}
    bounds = Bounds(kept.min_safety, kept.min_mean)
    chosen = judging(judge, bounds, options.data.parent, synthesis.teacher.picture_ground)
    return judge, replace(synthesis, judge=chosen, about=about)


def _planners(options: SynthesizeOptions) -> list[Planner]:
    """Return a planner for each row of a query.

    Raises:
        UserError: several rows a query would have the same plan.
    """
    if options.plan is not None:
        given = plan_option(options.plan)
        planners: list[Planner] = [lambda text, num_images: given]  # noqa: ARG005 - a planner's arguments
    elif options.planner == "sampling":
        return [SamplingPlanner(options.seed + variant) for variant in range(options.plans_per_query)]
    else:
        planners = [plan_query]
    if options.plans_per_query > 1:
        raise UserError("--plans-per-query: only --planner sampling has several plans for a query")
    return planners


def _check_free(synthesis: "Synthesis") -> None:
    """Check that the output is not somebody else's.

    Raises:
        UserError: there is such a file, and no report of a synthesis beside it.
    """
    if synthesis.output.exists() and not synthesis.report_path.exists():
        raise UserError(f"--output {synthesis.output}: is there already, and not by this command; name another")


def _require_extra() -> None:
    for name in ("openai", "tenacity"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"data synthesize needs the extra 'judge' ({name}): pip install '.[judge]'")
