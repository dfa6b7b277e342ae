"""Prints an evaluation as tables: metrics of a checkpoint, a task by groups of queries, and several tasks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.files.json_lines import replacing
from eval.results.metrics import estimates
from eval.results.samples import Sample
from eval.results.summary import summarize
from eval.results.table import group_markdown, group_table, terminal_table
from eval.statistics.benchmarks import with_average
from eval.statistics.intervals import Estimate
from eval.tasks import Task
from eval.tasks.prompts import PromptSet


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A set of prompts to evaluate on, with the folder for its results."""

    name: str
    task: Task | None
    """None for the prompts of a file."""
    found: PromptSet
    folder: Path


def show(found: Mapping[str, Mapping[str, Sequence[Sample]]], questions: Sequence[EvaluationSet], output: Path) -> None:
    """Print the metrics of every set of prompts, and a comparison of several tasks, which is also written to files.

    Args:
        found: samples by the name of the set and by decoding mode.
        questions: the sets.
        output: folder for `tasks.md` and `tasks.json`.
    """
    console = Console()
    for question in questions:
        columns = {name: estimates([samples]) for name, samples in found[question.name].items()}
        if question.task is None:
            console.print(terminal_table(columns, width=console.width))
        else:
            for table in _task_tables(question.task, found[question.name]):
                console.print(table)
    if len(questions) > 1:
        _compare_tasks({name: next(iter(ways.values())) for name, ways in found.items()}, questions, output, console)


def _task_tables(task: Task, ways: Mapping[str, Sequence[Sample]]) -> Iterator[Table]:
    """Yield tables of a task: all of it, and by quadrant of risks and by difficulty if it has several."""
    whole = {name: estimates([samples]) for name, samples in ways.items()}
    yield group_table(f"{task.title} ({task.measures})", whole, task.metrics)
    summary = summarize([next(iter(ways.values()))])
    for what, groups in (("quadrant of risks", summary.by_quadrant), ("difficulty", summary.by_difficulty)):
        if len(groups) > 1:
            yield group_table(f"{task.name} by {what}", groups, task.metrics)


def _compare_tasks(
    samples: Mapping[str, Sequence[Sample]], questions: Sequence[EvaluationSet], output: Path, console: Console
) -> None:
    """Print and write a comparison of the tasks; tasks on over-refusal and general ability have separate tables."""
    by_measure: dict[str, dict[str, Mapping[str, Estimate]]] = {}
    metrics: dict[str, tuple[str, ...]] = {}
    for question in questions:
        if question.task:
            group = by_measure.setdefault(question.task.measures, {})
            group[question.name] = estimates([samples[question.name]])
            known = metrics.get(question.task.measures, ())
            metrics[question.task.measures] = tuple(dict.fromkeys((*known, *question.task.metrics)))
    averaged = {measure: with_average(group) for measure, group in by_measure.items()}
    pages = []
    for measure, group in averaged.items():
        console.print(group_table(f"Tasks: {measure}", group, metrics[measure]))
        pages.append(f"## {measure}\n\n{group_markdown(group, metrics[measure])}")
    with replacing(output / "tasks.md") as file:
        file.write("\n".join(pages))
    with replacing(output / "tasks.json") as file:
        record = {
            measure: {name: {metric: asdict(each) for metric, each in found.items()} for name, found in group.items()}
            for measure, group in averaged.items()
        }
        json.dump(record, file, indent=1)
