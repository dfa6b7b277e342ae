"""Which judge a recipe or a command line asks for: declared once for both, help included."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from eval.judges import Judge, RuleJudge
from stages.arguments.options import COSMETIC, COUNT, SECONDS, SHARE, out_of_bounds
from stages.errors import StageError

Kind = Literal["rule", "llm", "guard"]


@dataclass(frozen=True, kw_only=True)
class JudgeArguments:
    """Who judges safety, helpfulness and rigor."""

    judge: Annotated[Kind, typer.Option(help="rules, an OpenAI-compatible endpoint, or a guard model")] = "rule"
    """Rules over labels; a model behind an OpenAI-compatible endpoint; or a guard model from a local folder."""
    judge_url: Annotated[
        str | None,
        COSMETIC,
        typer.Option(help="of the judge's endpoint, such as http://localhost:8000/v1; key: OPENAI_API_KEY"),
    ] = None
    """Of the endpoint, such as http://localhost:8000/v1. Its key is read from OPENAI_API_KEY."""
    judge_model: Annotated[str | None, typer.Option(help="the endpoint's model, or the guard's folder")] = None
    """The endpoint's name of the model, or the guard's folder."""
    judge_concurrency: Annotated[int, COUNT, COSMETIC, typer.Option(help="questions at the same time")] = 8
    """Questions to the endpoint at the same time."""
    judge_timeout: Annotated[float, SECONDS, COSMETIC, typer.Option(help="seconds for one request")] = 60.0
    """Seconds for one request."""
    judge_max_tokens: Annotated[int, COUNT, COSMETIC, typer.Option(help="of a verdict, thoughts included")] = 1024
    """Limit of one verdict; a reasoning model's thoughts count too."""
    judge_cache: Annotated[str | None, COSMETIC, typer.Option(help="file of verdicts; '' keeps none")] = (
        "runs/judgements.sqlite"
    )
    """SQLite file of verdicts, which several processes may share; null keeps none."""
    judge_max_unscored: Annotated[float, SHARE, COSMETIC, typer.Option(help="share that may go unscored")] = 0.2
    """Share of the last questions that may go unscored before the run stops."""
    judge_window: Annotated[int, COUNT, COSMETIC, typer.Option(help="of so many last questions")] = 50
    """How many last questions that is."""


def judge_problems(arguments: JudgeArguments) -> list[str]:
    """Return what is missing or out of bounds."""
    own = [each.name for each in fields(JudgeArguments)]
    return [*missing_for_judge(arguments), *out_of_bounds(arguments, own)]


def missing_for_judge(arguments: JudgeArguments) -> list[str]:
    """Return what the kind of judge needs and is not given, or is given and does not need."""
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
    """Return what of the judge decides its scores; {} for the rules, which are part of the code."""
    if arguments.judge == "rule":
        return {}
    return {"judge": arguments.judge, "judge_model": arguments.judge_model}


def build_judge(arguments: JudgeArguments) -> Judge:
    """Return the judge that is asked for; it is to be closed.

    Raises:
        StageError: something is missing or out of bounds, or the extra that the judge needs.
        JudgeError: the endpoint's address, the cache or the guard's folder will not do.
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
