"""The options of the judge, declared once for recipes and command lines, with their help."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from eval.judges import Judge, RuleJudge
from stages.arguments.options import COSMETIC, COUNT, SECONDS, SHARE, out_of_bounds
from stages.errors import StageError

JudgeKind = Literal["rule", "llm", "guard"]


@dataclass(frozen=True, kw_only=True)
class JudgeArguments:
    """The judge of safety, helpfulness and rigor."""

    judge: Annotated[JudgeKind, typer.Option(help="rules, an OpenAI-compatible endpoint, or a guard model")] = "rule"
    """Rules over labels; a model behind an OpenAI-compatible endpoint; or a guard model from a local folder."""
    judge_url: Annotated[
        str | None,
        COSMETIC,
        typer.Option(help="address of the judge's endpoint, such as http://localhost:8000/v1; key: OPENAI_API_KEY"),
    ] = None
    """Address of the endpoint, such as http://localhost:8000/v1. Its key is read from OPENAI_API_KEY."""
    judge_model: Annotated[str | None, typer.Option(help="the endpoint's model, or the guard's folder")] = None
    """Name of the endpoint's model, or folder of the guard."""
    judge_concurrency: Annotated[int, COUNT, COSMETIC, typer.Option(help="questions at the same time")] = 8
    """Number of concurrent questions to the endpoint."""
    judge_timeout: Annotated[float, SECONDS, COSMETIC, typer.Option(help="seconds for one request")] = 60.0
    """Seconds for one request."""
    judge_max_tokens: Annotated[int, COUNT, COSMETIC, typer.Option(help="token limit of a verdict")] = 1024
    """Token limit of a verdict, including the reasoning of a reasoning model."""
    judge_cache: Annotated[str | None, COSMETIC, typer.Option(help="file of verdicts; '' keeps none")] = (
        "runs/judgements.sqlite"
    )
    """SQLite file of verdicts, which several processes may share; null keeps none."""
    judge_max_unscored: Annotated[float, SHARE, COSMETIC, typer.Option(help="unscored share that is allowed")] = 0.2
    """The run stops if more than this share of the last questions is unscored."""
    judge_window: Annotated[int, COUNT, COSMETIC, typer.Option(help="last questions that count for it")] = 50
    """Number of last questions that this share refers to."""


def judge_problems(arguments: JudgeArguments) -> list[str]:
    """Return the options that are missing or out of bounds, as messages."""
    own = [each.name for each in fields(JudgeArguments)]
    return [*missing_for_judge(arguments), *out_of_bounds(arguments, own)]


def missing_for_judge(arguments: JudgeArguments) -> list[str]:
    """Return messages for options that the kind of judge needs but lacks, or has but does not need."""
    problems = []
    if arguments.judge == "llm" and not arguments.judge_url:
        problems.append("judge_url: judge llm needs the address of its endpoint, such as http://localhost:8000/v1")
    if arguments.judge != "rule" and not arguments.judge_model:
        what = "the endpoint's name of the model" if arguments.judge == "llm" else "the folder of the guard model"
        problems.append(f"judge_model: judge {arguments.judge} needs {what}")
    if arguments.judge == "rule" and (arguments.judge_url or arguments.judge_model):
        problems.append("judge: rule asks no model, but judge_url or judge_model is given; say judge llm or guard")
    return problems


def judge_settings(arguments: JudgeArguments) -> dict[str, Any]:
    """Return the options that affect the judge's scores; {} for the rules, which are part of the code."""
    if arguments.judge == "rule":
        return {}
    return {"judge": arguments.judge, "judge_model": arguments.judge_model}


def build_judge(arguments: JudgeArguments) -> Judge:
    """Return the judge that the options describe; the caller closes it.

    Raises:
        StageError: an option is missing or out of bounds, or the judge's extra is not installed.
        JudgeError: the endpoint's address, the cache or the guard's folder is invalid.
    """
    if problems := judge_problems(arguments):
        raise StageError(problems)
    if arguments.judge == "guard":
        from eval.judges.guard import GuardJudge

        return GuardJudge(Path(str(arguments.judge_model)))
    return _llm_judge(arguments) if arguments.judge == "llm" else RuleJudge()


def _llm_judge(arguments: JudgeArguments) -> Judge:
    try:
        from eval.judges.llm import LLMJudge, LLMJudgeSettings
    except ModuleNotFoundError as error:
        raise StageError(f"judge: llm needs the extra 'judge' ({error.name}): pip install '.[judge]'") from None
    return LLMJudge(
        LLMJudgeSettings(
            base_url=str(arguments.judge_url),
            model=str(arguments.judge_model),
            cache_path=Path(arguments.judge_cache) if arguments.judge_cache else None,
            concurrency=arguments.judge_concurrency,
            timeout_seconds=arguments.judge_timeout,
            max_tokens=arguments.judge_max_tokens,
            max_unscored=arguments.judge_max_unscored,
            window_size=arguments.judge_window,
        )
    )
