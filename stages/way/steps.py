"""The commands of the way, with the folder's own paths, and the page that shows them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from data.files import replacing
from data.rows import Query
from protocol.templates import plain_template


@dataclass(frozen=True, slots=True)
class Step:
    """One command."""

    name: str
    """Of the command, or of several that do instead of one another, such as "data synthesize | data template"."""
    command: str
    why: str
    otherwise: str = ""
    """What may be given in its place."""
    makes: str = ""
    """What is there when it is done, relative to the folder; "" where nothing tells."""


@dataclass(frozen=True, slots=True)
class Known:
    """How much of a set is labelled."""

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
    synthesize = (
        f"tritrace data synthesize --data {data}/queries.jsonl --output {data}/sft.jsonl --all-stages "
        "--teacher-url URL --teacher-model NAME"
    )
    rows = Step(
        "data template | data synthesize",
        f"tritrace data template {data}",
        "rows for all three stages, from labels and reference answers",
        synthesize,
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


def write_way(folder: Path, steps: list[Step], title: str, facts: list[str]) -> None:
    """Write `way.json` and the page."""
    with replacing(folder / "way.json") as file:
        begun = {"name": "init", "command": f"tritrace init {folder}", "makes": "data/queries.jsonl"}
        json.dump({"steps": [begun, *map(asdict, steps)]}, file, indent=1)
    page = plain_template("stages", "way/page.md.j2", strips=True).render(
        folder=folder, steps=steps, title=title, facts=facts
    )
    with replacing(folder / "README.md") as file:
        file.write(page.rstrip() + "\n")
