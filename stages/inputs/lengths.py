"""Refuses rows that are longer than a model can read. Counts their tokens, including the tokens of images.

Rows are not truncated: a model crashes on cut image tokens, and a prompt that fills the window leaves nothing to learn,
without any error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from trl.data_utils import prepare_multimodal_messages

from data.rows import Message, PreferencePair, SFTRow, TrainingRow
from eval.families import scaling_of
from eval.families.scaling import replacements
from eval.models.processors import tokenizer_of
from stages.errors import StageError
from stages.inputs.pictures import picture_fact

NUM_SHOWN = 20
"""Maximum number of rows that the error names; the others are only counted."""


def check_lengths(rows: Sequence[TrainingRow], processor: Any, limit: int, images_root: Path) -> None:
    """Refuse rows longer than a limit.

    Args:
        rows: the training rows.
        processor: the model's processor or tokenizer.
        limit: maximum tokens of a prompt with its longest completion.
        images_root: the folder that image paths are relative to.

    Raises:
        StageError: a row is longer; the message names such rows, their lengths and the limit.
    """
    lengths = row_lengths(rows, processor, images_root)
    long = {name: length for name, length in lengths.items() if length > limit}
    if not long:
        return
    problems = [f"row {name}: {length} tokens, the limit is {limit}" for name, length in list(long.items())[:NUM_SHOWN]]
    if len(long) > NUM_SHOWN:
        problems.append(f"and {len(long) - NUM_SHOWN} more rows; the longest has {max(long.values())} tokens")
    raise StageError(
        [*problems, "shorten or drop these rows, show smaller images, or choose a model with a longer window"]
    )


def row_lengths(rows: Sequence[TrainingRow], processor: Any, images_root: Path) -> Mapping[str, int]:
    """Return the number of tokens of each row, by id: prompt, images and the longest completion.

    Raises:
        StageError: the processor refuses a picture.
    """
    tokenizer = tokenizer_of(processor)
    written = _written(rows, processor, images_root)

    def length(row: TrainingRow, text: str) -> int:
        if row.images:
            text = processor.get_text_with_replacements([text], written[row.id])[0][0]
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return {row.id: max(length(row, text) for text in _rendered(row, processor)) for row in rows}


def image_tokens(rows: Sequence[TrainingRow], processor: Any, images_root: Path) -> Mapping[str, int]:
    """Return the number of tokens of each row's images, by id, scaled as the processor scales them.

    Raises:
        StageError: the processor refuses a picture.
    """
    tokenizer = tokenizer_of(processor)

    @cache
    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    return {name: sum(map(count, texts)) for name, texts in _written(rows, processor, images_root).items()}


def _written(rows: Sequence[TrainingRow], processor: Any, images_root: Path) -> dict[str, list[str]]:
    """Return the text that stands for each picture of a row, by the row's id."""
    scaling = scaling_of(processor)

    @cache
    def size(source: str) -> tuple[int, int]:
        fact = picture_fact(source, images_root)
        return fact.height, fact.width

    @cache
    def texts(*sizes: tuple[int, int]) -> list[str]:
        return replacements(scaling, processor, sizes)

    found = {}
    for row in rows:
        try:
            found[row.id] = texts(*map(size, row.images)) if row.images else []
        except ValueError as error:  # such as a side more than 200 times as long as the other
            raise StageError(f"row {row.id}: its pictures do not suit the model: {error}") from error
    return found


def prompt_lengths(rows: Sequence[TrainingRow], processor: Any, images_root: Path) -> Mapping[str, int]:
    """Return the number of tokens before each row's response, by id, including the tokens of images."""
    without: dict[str, Any]
    prompts: list[TrainingRow] = []
    for row in rows:
        without = dict.fromkeys(_endings_of(row), ())
        prompts.append(replace(row, **without))
    return row_lengths(prompts, processor, images_root)


def model_limit(config: Any) -> int:
    """Return the number of positions in a model's configuration."""
    return int(config.get_text_config().max_position_embeddings)


def _endings_of(row: TrainingRow) -> tuple[str, ...]:
    if isinstance(row, SFTRow):
        return ("completion",)
    return ("chosen", "rejected") if isinstance(row, PreferencePair) else ()


def _rendered(row: TrainingRow, processor: Any) -> list[str]:
    endings: list[tuple[Message, ...]] = [getattr(row, name) for name in _endings_of(row)] or [()]
    texts = []
    for ending in endings:
        messages: Any = [*row.prompt, *ending]
        if processor is not tokenizer_of(processor):
            messages = prepare_multimodal_messages(messages, images=list(row.images))
        texts.append(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=not ending))
    return texts
