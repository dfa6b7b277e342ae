"""Provides the evaluation as tasks of Inspect: those of `eval/tasks/` by name, and any file of rollout prompts."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import get_model
from inspect_ai.scorer import Scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from data.files.json_lines import read_rows
from data.pictures.images import ground_of
from data.rows import RolloutPrompt
from eval.tasks import Task as OurTask
from eval.tasks import built_in_tasks
from eval.tasks.prompts import PromptSet, task_prompts
from protocol.errors import UserError
from protocol.plans.prompt import Style
from stages.inspection.naming import PREFIX, ours
from stages.inspection.samples import PLAN, inspect_sample, metadata_text
from stages.inspection.scorers import scorer_by_name

POCKET_FOLDER = "runs/inspect"
"""Folder for the pictures of the pocket world."""


def _register(declared: OurTask) -> Callable[..., Task]:
    """Register a task of the catalogue under its name."""

    @task(name=PREFIX + declared.name)
    @ours
    def build(
        rows: str | None = None,
        *,
        style: str | None = None,
        constrained: bool = False,
        judge: str = "rule",
        judge_url: str | None = None,
        judge_model: str | None = None,
    ) -> Task:
        """Return the task.

        Args:
            rows: the file of query rows that `tritrace data import` wrote; None looks in runs/sources.
            style: style of the prompts, compact or full; None uses the style of the checkpoint's training, and full
                for any other model.
            constrained: constrain decoding to each plan's grammar; only with our provider.
            judge: rule, llm or guard (`stages/arguments/judge.py`).
            judge_url: of the endpoint that the judge asks.
            judge_model: the endpoint's name of the model, or the guard's folder.
        """
        place = Path(rows).resolve() if rows else None
        found = task_prompts(declared, Path(POCKET_FOLDER).resolve(), style=_style(style), rows=place)
        names = list(dict.fromkeys([*declared.metrics, *scorer_by_name]))
        return _task(declared.name, found, constrained, _scorers(names, judge, judge_url, judge_model))

    registered: Callable[..., Task] = build
    return registered


@task(name=PREFIX + "rows")
@ours
def rows(
    data: str,
    *,
    constrained: bool = False,
    judge: str = "rule",
    judge_url: str | None = None,
    judge_model: str | None = None,
) -> Task:
    """Evaluate on a file of rollout prompts, such as runs/pocket/data/validation.jsonl of a curriculum.

    Args:
        data: the file.
        constrained: decode under each plan's grammar; our own provider only.
        judge: rule, llm or guard (`stages/arguments/judge.py`).
        judge_url: of the endpoint that the judge asks.
        judge_model: the endpoint's name of the model, or the guard's folder.
    """
    path = Path(data).resolve()
    found = PromptSet(read_rows(path, RolloutPrompt), path.parent)
    return _task(path.stem, found, constrained, _scorers(list(scorer_by_name), judge, judge_url, judge_model))


@solver(name=PREFIX + "respond")
@ours
def respond(constrained: bool = False) -> Solver:
    """Ask for the response; for constrained decoding, pass the plan to the provider."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if constrained:
            return await generate(state, extra_body={PLAN: metadata_text(state.metadata, PLAN)})
        return await generate(state)

    return solve


def _style(wanted: str | None) -> Style:
    if wanted is None:
        trained_on: Style = getattr(get_model().api, "prompt_style", "full")
        return trained_on
    known: dict[str, Style] = {each: each for each in get_args(Style)}
    if wanted not in known:
        raise UserError(f"style: expected {' or '.join(known)}, found {wanted!r}")
    return known[wanted]


def _task(name: str, found: PromptSet, constrained: bool, scorers: list[Scorer]) -> Task:
    ground = ground_of(_policy())
    samples = list(map(partial(inspect_sample, images_root=found.images_root, ground=ground), found.prompts))
    dataset = MemoryDataset(samples, name=name, location=str(found.images_root))
    return Task(dataset=dataset, solver=respond(constrained), scorer=scorers)


def _policy() -> object | None:
    """Return our evaluated policy; None for another model, or if there is no model yet (tasks can be listed)."""
    try:
        return getattr(get_model().api, "policy", None)
    except ValueError:  # raised by Inspect if no model is given
        return None


def _scorers(names: Sequence[str], judge: str, judge_url: str | None, judge_model: str | None) -> list[Scorer]:
    return [scorer_by_name[name](judge=judge, judge_url=judge_url, judge_model=judge_model) for name in names]


task_by_name = {declared.name: _register(declared) for declared in built_in_tasks().values()}
"""Every task of the catalogue, by its name."""
