"""Writes the plans of an exported model, so that a server can use the training prompts and constrain decoding.

A plan's folder has `plan.json`, `system_prompt.txt` (the prompt of the training), `grammar.lark` (for llguidance; in a
request to vLLM it is the field `structured_outputs.grammar`) and `schema.json`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.rows import TrainingRow
from protocol import Plan, grammar_of, system_prompt, trace_schema
from protocol.plans.prompt import Style
from toolkit.planner import named_plan

MAX_PLANS = 32
"""Maximum number of exported plans, the most frequent ones. A sampling planner makes nearly one plan per row."""
NAMED = ("everyday", "writing", "alarm", "vulnerable", "several")


@dataclass(frozen=True, slots=True)
class PlanFolder:
    """An exported plan."""

    plan: Plan
    prompt: str
    num_rows: int
    """Number of rows of the last stage with this plan."""
    name: str = ""
    """Name of a plan of the toolkit that is in no row; "" otherwise."""

    @property
    def folder(self) -> str:
        """Path of the plan's folder in the export."""
        return f"plans/{self.plan.fingerprint}"


def choose_plans(rows: Sequence[TrainingRow], style: Style) -> tuple[list[PlanFolder], int]:
    """Return the plans to export, most frequent first, and the number of all plans.

    Args:
        rows: training rows of the stage; if empty, the rule planner's plans are used.
        style: style of the system message, if there are no rows.
    """
    counts = Counter(row.plan for row in rows)
    prompts = {row.plan: str(row.prompt[0]["content"]) for row in reversed(rows)}
    found = [PlanFolder(Plan.from_json(text), prompts[text], count) for text, count in counts.most_common(MAX_PLANS)]
    if not found:
        named = {name: named_plan(name) for name in NAMED}
        found = [PlanFolder(plan, system_prompt(plan, style), 0, name) for name, plan in named.items()]
    return found, max(len(counts), len(found))


def write_plans(plans: Sequence[PlanFolder], root: Path) -> None:
    """Write every plan, and the list `plans/index.json`."""
    index = []
    for each in plans:
        folder = root / each.folder
        folder.mkdir(parents=True)
        files = {
            "plan.json": json.dumps(json.loads(each.plan.to_json()), indent=2, ensure_ascii=False) + "\n",
            "system_prompt.txt": each.prompt,
            "grammar.lark": grammar_of(each.plan),
            "schema.json": json.dumps(trace_schema(each.plan), indent=2, ensure_ascii=False) + "\n",
        }
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        index.append(
            {
                "fingerprint": each.plan.fingerprint,
                "folder": each.folder,
                "persona": each.plan.persona.name,
                "topology": each.plan.graph.topology,
                "tools": [tool.name for tool in each.plan.tools],
                "num_rows": each.num_rows,
            }
        )
    (root / "plans" / "index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
