"""The commands that lead from data to an adapter, with the folder's own paths, and the page that lists them."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from data.files.json_lines import replacing
from data.rows import Query
from protocol.templates import plain_template


@dataclass(frozen=True, slots=True)
class Step:
    """One command."""

    name: str
    """Name of the command, or names of alternatives, such as "data synthesize | data template"."""
    command: str
    why: str
    otherwise: str = ""
    """A command that can be used instead."""
    otherwise_if: str = ""
    """When to use that one, such as "with a teacher model"."""
    makes: str = ""
    """A file or folder that exists once the step is done, relative to the folder; "" if there is none."""


@dataclass(frozen=True, slots=True)
class Known:
    """How many queries of a set have labels."""

    queries: int
    labelled: int
    """Queries with a combined risk or a decision."""
    answered: int
    """Queries with a reference answer."""
    held_out: int

    @classmethod
    def of(cls, queries: Iterable[Query]) -> "Known":
        """Count."""
        every = list(queries)
        labelled = [q for q in every if q.labels.combined_risk is not None or q.labels.decision is not None]
        held_out = sum(query.split != "train" for query in every)
        return cls(len(every), len(labelled), sum(bool(query.answers) for query in every), held_out)


def steps_of(folder: Path, known: Known) -> list[Step]:
    """Return the commands that follow `tritrace init`."""
    data, recipes, run = folder / "data", folder / "recipes", folder / "run"
    label = Step(
        "data label",
        f"tritrace data label {data} --judge-url URL --judge-model NAME",
        "a judge model says which queries are harmful; what is unclear is set aside",
        makes="data/unlabelled",
    )
    synthesize = synthesize_command(data)
    template = f"tritrace data template {data}"
    if known.answered:
        rows = Step(
            "data template | data synthesize",
            template,
            "rows for all three stages, from labels and reference answers",
            synthesize,
            "with a teacher model behind an OpenAI-compatible endpoint",
            makes="data/validation.jsonl",
        )
    else:
        rows = Step(
            "data synthesize | data template",
            synthesize,
            "rows for all three stages; a teacher model writes the demonstrations, because the data has no answers",
            template,
            "without a teacher, although every demonstration is then a refusal",
            makes="data/validation.jsonl",
        )
    rest = [
        Step("data check", f"tritrace data check {data}", "every row is looked at before it is trained on"),
        Step(
            "preflight",
            f"tritrace preflight --config {recipes}/curriculum.yaml",
            "whether the three stages will run: rows, lengths, reward, disk, memory",
        ),
        Step(
            "curriculum",
            f"tritrace curriculum {recipes}/curriculum.yaml",
            "SFT, DPO and GRPO, an evaluation after each; interrupted, the same command goes on",
            makes="run/seed-0/grpo/manifest.json",
        ),
        Step("report", f"tritrace report {run}", f"tables, plots and every response: {run}/report.html"),
        Step("export", f"tritrace export {run}/seed-0/grpo --to {folder}/export", "an adapter that peft loads"),
        Step("serve", f"tritrace serve {run}/seed-0/grpo", "ask it by any OpenAI client, behind the guard"),
    ]
    needs_labels = known.labelled < known.queries / 2
    return [*([label] if needs_labels else []), rows, *rest]


def synthesize_command(data: Path) -> str:
    """Return the command that lets a teacher model write the rows of a folder."""
    return (
        f"tritrace data synthesize --data {data}/queries.jsonl --output {data}/sft.jsonl --all-stages "
        "--teacher-url URL --teacher-model NAME"
    )


def count_done(folder: Path, steps: list[Step]) -> int:
    """Return how many steps are done, from the first on: ticked off on the page, and their results exist."""
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    ticked = {frozenset(names.split(" | ")) for names in re.findall(r"(?m)^- \[x\] \*\*(.+?)\*\*", text)}
    for number, step in enumerate(steps):
        is_there = not step.makes or (folder / step.makes).exists()
        if frozenset(step.name.split(" | ")) not in ticked or not is_there:
            return number
    return len(steps)


def write_way(folder: Path, steps: list[Step], title: str, facts: list[str]) -> None:
    """Write `way.json` and the page. A step stays ticked off as long as its result exists."""
    num_done = count_done(folder, steps)
    with replacing(folder / "way.json") as file:
        begun = {"name": "init", "command": f"tritrace init {folder}", "makes": "data/queries.jsonl"}
        json.dump({"steps": [begun, *map(asdict, steps)]}, file, indent=1)
    page = plain_template("stages", "way/page.md.j2", strips=True).render(
        folder=folder, steps=steps, num_done=num_done, title=title, facts=facts
    )
    with replacing(folder / "README.md") as file:
        file.write(page.rstrip() + "\n")
