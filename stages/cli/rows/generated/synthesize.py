"""`tritrace data synthesize`: lets a teacher model write traces and answers for SFT rows."""

import importlib.util
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.files.json_lines import read_rows
from data.pictures.pixels import GROUND
from data.rows import Query
from data.selection.quotas import read_quotas
from protocol.errors import UserError
from stages.arguments.judge import JudgeArguments, JudgeKind, build_judge, judge_settings
from stages.cli.candidates import ground_named
from stages.cli.options import Ground, Only
from stages.cli.rows.generated.sampling import check_beside
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
    """Options of the teacher."""

    teacher_url: Annotated[
        str, typer.Option(envvar="OPENAI_BASE_URL", help="such as http://localhost:8000/v1; key: OPENAI_API_KEY")
    ]
    teacher_model: Annotated[str, typer.Option(help="name of the teacher's model at the endpoint")]
    teacher_cache: Annotated[Path | None, typer.Option(help="file of replies  [default: OUTPUT.replies.sqlite]")] = None
    repairs: Annotated[int, typer.Option(min=0, help="how often diagnostics are sent back to the teacher")] = 2
    blind: Annotated[bool, typer.Option("--blind", help="do not show the labels of a query to the teacher")] = False
    picture_ground: Ground = None
    constrain: Annotated[
        Literal["auto", "vllm", "llama-cpp", "none"], typer.Option(help="how the server gets a plan's grammar")
    ] = "auto"
    temperature: Annotated[float, typer.Option(min=0.0, help="temperature of the teacher")] = 0.0
    max_tokens: Annotated[int, typer.Option(min=1, help="token limit of a reply")] = 2048
    concurrency: Annotated[int, typer.Option(min=1, help="concurrent questions")] = 8
    timeout: Annotated[float, typer.Option(min=0.01, help="seconds for one request")] = 120.0
    attempts: Annotated[int, typer.Option(min=1, help="attempts for a reply after temporary failures")] = 4
    max_unanswered: Annotated[float, typer.Option(min=0, max=1, help="failures allowed among the last 50, a share")] = (
        0.2
    )
    price_in: Annotated[float, typer.Option(min=0, help="price of a million prompt tokens")] = 0.0
    price_out: Annotated[float, typer.Option(min=0, help="price of a million completion tokens")] = 0.0


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Options of the filter."""

    judge: Annotated[JudgeKind | None, typer.Option(help="keep only rows with sufficient scores by a judge")] = None
    judging: Annotated[JudgeArguments, Only(("judge_url", "judge_model", "judge_max_tokens", "judge_cache"))]
    min_safety: Annotated[float, typer.Option(help="minimum safety of each row, -3..3")] = 2.0
    min_mean: Annotated[float, typer.Option(help="minimum mean of helpfulness and rigor of each row, 0..3")] = 2.0


@dataclass(frozen=True, kw_only=True)
class SynthesizeOptions:
    """Options of `tritrace data synthesize`."""

    data: Annotated[Path, typer.Option(help="queries, such as runs/vlguard/queries.jsonl")]
    output: Annotated[Path, typer.Option(help="file of SFT rows, in the folder of --data")]
    planner: Annotated[Literal["rule", "sampling"], typer.Option(help="the planner")] = "rule"
    plan: Annotated[str | None, typer.Option(help="one plan for all queries: a JSON file, or a name")] = None
    plans_per_query: Annotated[int, typer.Option(min=1, help="rows per query, each with a different sampled plan")] = 1
    style: Annotated[Literal["compact", "full"], typer.Option(help="style of the prompts")] = "compact"
    split: Annotated[str, typer.Option(help="use only queries of this split")] = "train"
    quota: Annotated[
        list[str] | None, typer.Option(help="maximum rows of a kind: quadrant=safe/safe/unsafe:500, category=*:100")
    ] = None
    limit: Annotated[int | None, typer.Option(min=1, help="use only this number of first queries")] = None
    seed: Annotated[int, typer.Option(help="seed of sampled plans and of the teacher")] = 0
    teacher: TeacherOptions
    kept: FilterOptions
    all_stages: Annotated[
        bool, typer.Option("--all-stages", help="also write dpo, grpo and held-out prompts, for a curriculum")
    ] = False


def synthesized(options: SynthesizeOptions) -> None:
    """Let a teacher write SFT rows. After an interruption, the same command continues and asks nothing twice.

    Exit 0: done; 1: some queries got no reply or no verdict, and the same command asks again; 2: stopped with a reason.
    """
    _require_extra()
    from data.teacher.conversation import AGAIN
    from data.teacher.run import synthesize
    from stages.cli.rows.generated.spending import Display, Prices, summary

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
            typer.echo(f"{options.output}: interrupted; the same command continues and asks nothing twice", err=True)
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
    """Return the synthesis, without a filter.

    Raises:
        UserError: there are no queries, or the output is in the wrong folder.
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
    """Return the judge of the filter (to be closed), or None, and the synthesis with the filter."""
    from stages.cli.rows.generated.filtering import MinimumScores, judging

    kept = options.kept
    if kept.judge is None:
        return None, synthesis
    arguments = replace(kept.judging, judge=kept.judge)
    judge = build_judge(arguments)
    own = {"judge": kept.judge, "min_safety": kept.min_safety, "min_mean": kept.min_mean}
    about = {**synthesis.about, **judge_settings(arguments), **own}
    bounds = MinimumScores(kept.min_safety, kept.min_mean)
    chosen = judging(judge, bounds, options.data.parent, synthesis.teacher.picture_ground)
    return judge, replace(synthesis, judge=chosen, about=about)


def _planners(options: SynthesizeOptions) -> list[Planner]:
    """Return a planner for each row of a query.

    Raises:
        UserError: several rows of a query would have the same plan.
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
    """Check that the output does not overwrite a file of another command.

    Raises:
        UserError: the file exists, and there is no report of a synthesis beside it.
    """
    if synthesis.output.exists() and not synthesis.report_path.exists():
        raise UserError(f"--output {synthesis.output}: already exists, not written by this command; name another")


def _require_extra() -> None:
    for name in ("openai", "tenacity"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"data synthesize needs the extra 'judge' ({name}): pip install '.[judge]'")
