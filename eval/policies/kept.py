"""Keeps sampled responses until they are judged, so that an interrupted evaluation samples none of them again.

They are in `responses.jsonl` in the folder of an evaluation. The first line has the prompts and settings; then follows
one line for each response, in the order in which they were finished. A half-written last line, left by a killed
process, is cut off. The file is removed when the evaluation is complete.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.files.json_lines import replacing
from data.rows import RolloutPrompt
from eval.policies.base import Generation, Policy

FILE_NAME = "responses.jsonl"


def respond_once(
    policy: Policy, prompts: Sequence[RolloutPrompt], images_root: Path, folder: Path, settings: Mapping[str, Any]
) -> list[Generation]:
    """Return a response to every prompt: the kept one if prompts and settings are the same, and otherwise a new one.

    Failures (`Generation.failure`) are not kept; the next call asks for these prompts again.
    """
    path = folder / FILE_NAME
    header = {"settings": dict(settings), "prompts": [prompt.id for prompt in prompts]}
    done = _read(path, header)
    if done is None:
        done = {}
        with replacing(path) as file:
            file.write(json.dumps(header, ensure_ascii=False) + "\n")
    with path.open("a", encoding="utf-8") as file:

        def keep(place: int, generation: Generation) -> None:
            if not generation.failure:
                file.write(json.dumps({"place": place} | asdict(generation), ensure_ascii=False) + "\n")
                file.flush()

        return policy.respond(prompts, images_root, done=done, keep=keep)


def forget_responses(folder: Path) -> None:
    """Remove the kept responses."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def _read(path: Path, header: Mapping[str, Any]) -> dict[int, Generation] | None:
    """Return the kept generations for this header, by index, or None; cuts off a half-written last line."""
    if not path.exists():
        return None
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    os.truncate(path, len(whole))
    lines = whole.decode(errors="replace").split("\n")[:-1]  # a response may contain other line separators
    try:
        if not lines or json.loads(lines[0]) != json.loads(json.dumps(header)):
            return None
    except (ValueError, RecursionError):
        return None
    return dict(filter(None, map(_kept, lines[1:])))


def _kept(line: str) -> tuple[int, Generation] | None:
    """Return a response with its index; None for a damaged line, whose prompt is asked again."""
    try:
        record = json.loads(line)
        place, generation = record.pop("place"), Generation(**record)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    is_sound = isinstance(place, int) and isinstance(generation.text, str) and isinstance(generation.num_tokens, int)
    return (place, generation) if is_sound else None
