"""Rows with zero to three pictures of different sizes and shapes."""

from pathlib import Path

from PIL import Image

from data.files.json_lines import write_rows
from data.rows import PreferencePair, Provenance, RolloutPrompt, SFTRow
from protocol import Labels, system_prompt
from toolkit.planner import plan_query

QUESTION = "What is in the picture?"
PLAN = plan_query(QUESTION, 1)
SYSTEM = system_prompt(PLAN, "compact")
PROMPT = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION})
TRACE = "<thinking>\n</thinking>\n<answer>\nA cup.\n</answer>"
TEXTS = (SYSTEM, QUESTION, TRACE, "System: User: Assistant: user model")
SIZES = ((30, 40), (90, 50), (64, 64), (28, 120))
"""Width and height of the pictures, in turn."""
COUNTS = (0, 1, 2, 3, 1, 0, 1, 2)
"""Pictures of each row."""


def write(folder: Path, *, counts: tuple[int, ...] = COUNTS) -> Path:
    """Write the rows of all three stages with their pictures, and return the folder."""
    (folder / "images").mkdir(parents=True)
    rows: dict[str, list] = {"sft": [], "dpo": [], "grpo": []}
    drawn = 0
    for place, count in enumerate(counts):
        names = [f"images/{drawn + number}.png" for number in range(count)]
        for number, name in enumerate(names, start=drawn):
            colour = (40 * number % 256, 100, 250 - 30 * number % 250)
            Image.new("RGB", SIZES[number % len(SIZES)], colour).save(folder / name)
        drawn += count
        # Questions of different lengths, so that batches are padded.
        prompt = (PROMPT[0], PROMPT[1] | {"content": QUESTION * (1 + place % 3)})
        shared = {
            "kind": "plain",
            "split": "train",
            "prompt": prompt,
            "plan": PLAN.to_json(),
            "provenance": Provenance("test", "Apache-2.0", "test 1"),
            "query_id": f"q{place}",
            "images": tuple(names),
        }
        rows["sft"].append(SFTRow(id=f"s{place}", completion=_answer(TRACE), **shared))
        pair = {"chosen": _answer(TRACE), "rejected": _answer("A cup."), "corruption": "x", "expected_codes": ()}
        rows["dpo"].append(PreferencePair(id=f"p{place}", **pair, **shared))
        rows["grpo"].append(RolloutPrompt(id=f"r{place}", labels=Labels(), query=QUESTION, **shared))
    for stage, stage_rows in rows.items():
        write_rows(folder / f"{stage}.jsonl", stage_rows)
    return folder


def _answer(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "assistant", "content": text},)
