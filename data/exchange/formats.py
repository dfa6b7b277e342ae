"""Converts a row to the record of another trainer. Pure functions: pictures come as paths or bytes, already stored.

    llama-factory   ShareGPT conversations; data/README.md of hiyouga/LLaMA-Factory
    ms-swift        `messages`, `images`, `rejected_response`; docs/source_en/Customization/Custom-dataset.md of
                    modelscope/ms-swift. For GRPO all further columns reach the reward function
    verl            `data_source`, `prompt`, `images`, `ability`, `reward_model`, `extra_info`; the columns of
                    examples/data_preprocess/geo3k.py of volcengine/verl
    easyr1          `id`, `images`, `problem`, `answer`; verl/utils/dataset.py of hiyouga/EasyR1

These trainers mark the place of a picture in the text with `<image>`. The input of a reward (plan, labels, the user's
words) is stored as JSON text, so that each column has one type.
"""

import json
from collections.abc import Sequence
from typing import Any

from data.rows import PreferencePair, RolloutPrompt, SFTRow, TrainingRow

IMAGE_MARK = "<image>"
ABILITY = "safety"


class UnfitRowError(ValueError):
    """A row that a format cannot hold; the message says why."""


def prompt_parts(row: TrainingRow) -> tuple[str, str]:
    """Return the system message ("" for none) and the user's words.

    Raises:
        UnfitRowError: the prompt is not an optional system message and then one user turn.
    """
    roles = [message["role"] for message in row.prompt]
    if roles not in (["user"], ["system", "user"]):
        raise UnfitRowError(f"prompt: expected an optional system message and one user turn, found {', '.join(roles)}")
    return ("" if len(roles) == 1 else row.prompt[0]["content"]), row.prompt[-1]["content"]


def response(turns: Sequence[Any], name: str) -> str:
    """Return the one assistant turn.

    Raises:
        UnfitRowError: there is not exactly one turn, or it has another role.
    """
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise UnfitRowError(f"{name}: expected one assistant turn")
    return str(turns[0]["content"])


def check_marks(row: TrainingRow) -> None:
    """Check that no text contains the mark `<image>`: these trainers count the marks.

    Raises:
        UnfitRowError: a text contains it.
    """
    turns = {name: getattr(row, name, ()) for name in ("prompt", "completion", "chosen", "rejected")}
    for name, messages in turns.items():
        if any(IMAGE_MARK in message["content"] for message in messages):
            raise UnfitRowError(
                f"{name}: holds the text {IMAGE_MARK}, which this format reads as the place of a picture"
            )


def to_llama_factory(row: SFTRow | PreferencePair, images: Sequence[str]) -> dict[str, Any]:
    """Return a ShareGPT conversation, with `chosen` and `rejected` for a pair."""
    system, text = prompt_parts(row)
    turns = [{"from": "human", "value": _marked(text, images)}]
    if isinstance(row, SFTRow):
        turns.append({"from": "gpt", "value": response(row.completion, "completion")})
        return {"conversations": turns, "system": system, "images": list(images)}
    pair = {name: {"from": "gpt", "value": response(getattr(row, name), name)} for name in ("chosen", "rejected")}
    return {"conversations": turns, **pair, "system": system, "images": list(images)}


def llama_factory_info(name: str, is_ranking: bool) -> dict[str, Any]:
    """Return the entry of `dataset_info.json` for a file of that name."""
    columns = {"messages": "conversations", "system": "system", "images": "images"}
    if is_ranking:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    ranking = {"ranking": True} if is_ranking else {}
    return {"file_name": f"{name}.json", "formatting": "sharegpt", **ranking, "columns": columns}


def to_ms_swift(row: TrainingRow, images: Sequence[str]) -> dict[str, Any]:
    """Return messages, with `rejected_response` for a pair and the input of rewards for a prompt."""
    system, text = prompt_parts(row)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": _marked(text, images)})
    if isinstance(row, RolloutPrompt):
        return {"messages": messages, "images": list(images), **_for_rewards(row)}
    answer = row.completion if isinstance(row, SFTRow) else row.chosen
    messages.append({"role": "assistant", "content": response(answer, "completion or chosen")})
    record = {"messages": messages, "images": list(images)}
    return record if isinstance(row, SFTRow) else {**record, "rejected_response": response(row.rejected, "rejected")}


def to_verl(row: RolloutPrompt, images: Sequence[Any], index: int) -> dict[str, Any]:
    """Return the columns of verl; `images` are structs of bytes and path."""
    system, text = prompt_parts(row)
    messages = [{"role": "system", "content": system}] if system else []
    return {
        "data_source": row.provenance.source,
        "prompt": [*messages, {"role": "user", "content": _marked(text, images)}],
        "images": list(images),
        "ability": ABILITY,
        "reward_model": {"style": "rule", "ground_truth": ground_truth(row)},
        "extra_info": {"index": index, "split": row.split, **_for_rewards(row)},
    }


def to_easyr1(row: RolloutPrompt, images: Sequence[str]) -> dict[str, Any]:
    """Return id, images, problem and answer. EasyR1 has one user turn, so the plan comes before the user's words."""
    system, text = prompt_parts(row)
    problem = "\n\n".join(part for part in (system, _marked(text, images)) if part)
    return {"id": row.id, "images": list(images), "problem": problem, "answer": ground_truth(row)}


def ground_truth(row: RolloutPrompt) -> str:
    """Return the input of a reward for a prompt (plan, labels, the user's words) as JSON text."""
    known = {"plan": json.loads(row.plan), "labels": row.labels.to_json(), "query": row.query, "kind": row.kind}
    return json.dumps(known, ensure_ascii=False, sort_keys=True)


def _for_rewards(row: RolloutPrompt) -> dict[str, str]:
    labels = json.dumps(row.labels.to_json(), ensure_ascii=False, sort_keys=True)
    return {"id": row.id, "kind": row.kind, "plan": row.plan, "labels": labels, "query": row.query}


def _marked(text: str, images: Sequence[Any]) -> str:
    return IMAGE_MARK * len(images) + text
