"""Refusing rows that a model cannot read whole: their real length in tokens, image tokens expanded.

Truncation is no way out. Cut image tokens crash, and a prompt that fills the window trains silently on nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from trl.data_utils import prepare_multimodal_messages

from data.rows import Message, PreferencePair, SFTRow
from eval.models import tokenizer_of
from stages.columns import Row
from stages.errors import StageError
from stages.pictures import picture_fact

NUM_SHOWN = 20
"""So many rows are named in the error; the rest are counted."""


def check_lengths(rows: Sequence[Row], processor: Any, limit: int, images_root: Path) -> None:
    """Refuse rows longer than a limit.

    Args:
        rows: what to train on.
        processor: the model's processor or tokenizer.
        limit: most tokens of a prompt with its longest completion.
        images_root: the folder that image paths are relative to.

    Raises:
        StageError: naming the rows, their lengths and the limit.
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


def row_lengths(rows: Sequence[Row], processor: Any, images_root: Path) -> Mapping[str, int]:
    """Return the tokens of each row by id: prompt, image tokens and the longest completion."""
    tokenizer = tokenizer_of(processor)
    images = image_tokens(rows, processor, images_root)
    lengths = {}
    for row in rows:
        rendered = max(
            len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in _rendered(row, processor)
        )
        # The template writes one placeholder an image, which the processor then repeats.
        lengths[row.id] = rendered + images[row.id] - len(row.images)
    return lengths


def image_tokens(rows: Sequence[Row], processor: Any, images_root: Path) -> Mapping[str, int]:
    """Return the tokens that each row's images become, by id; pictures are scaled as the processor would."""

    @cache
    def count(source: str) -> int:
        fact = picture_fact(source, images_root)
        return tokens_of_size(fact.height, fact.width)

    @cache  # a processor takes longer over a size than it takes to open a picture
    def tokens_of_size(height: int, width: int) -> int:
        sizes = processor._get_num_multimodal_tokens(image_sizes=[(height, width)])  # noqa: SLF001
        return int(sizes["num_image_tokens"][0])

    return {row.id: sum(map(count, row.images)) for row in rows}


def prompt_lengths(rows: Sequence[Row], processor: Any, images_root: Path) -> Mapping[str, int]:
    """Return the tokens of each row's prompt by id, image tokens expanded, up to where the response begins."""
    without: dict[str, Any]
    prompts: list[Row] = []
    for row in rows:
        without = dict.fromkeys(_endings_of(row), ())
        prompts.append(replace(row, **without))
    return row_lengths(prompts, processor, images_root)


def model_limit(config: Any) -> int:
    """Return how many positions a model was made for, by its configuration."""
    return int(config.get_text_config().max_position_embeddings)


def _endings_of(row: Row) -> tuple[str, ...]:
    if isinstance(row, SFTRow):
        return ("completion",)
    return ("chosen", "rejected") if isinstance(row, PreferencePair) else ()


def _rendered(row: Row, processor: Any) -> list[str]:
    endings: list[tuple[Message, ...]] = [getattr(row, name) for name in _endings_of(row)] or [()]
    texts = []
    for ending in endings:
        messages: Any = [*row.prompt, *ending]
        if processor is not tokenizer_of(processor):
            messages = prepare_multimodal_messages(messages, images=list(row.images))
        texts.append(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=not ending))
    return texts
