"""Converts lessons to batches of tensors: tokens, a mask of the learnt tokens, and the pixels of the pictures.

Pictures are drawn and preprocessed when their batch is made. A batch has lessons of similar length.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import Qwen2_5_VLProcessor

from data.pocket.pictures.drawing import draw
from data.pocket.pictures.scenes import GRID, Scene
from stages.pocket.lessons.corpus import Lesson
from stages.pocket.tokenizer import END_OF_TURN

NUM_IMAGE_TOKENS = GRID**2
BUCKET = 16
"""Lessons of this number of batches are sorted by length together: less padding, and still a random order."""


@dataclass(frozen=True, slots=True)
class EncodedLesson:
    """One conversation as tokens."""

    input_ids: list[int]
    is_learnt: list[bool]
    """Whether each token belongs to an answer, including its end of turn."""
    scene: Scene | None


def encode(lessons: Sequence[Lesson], processor: Qwen2_5_VLProcessor) -> list[EncodedLesson]:
    """Return lessons as tokens, rendered by the chat template."""
    tokenizer = processor.tokenizer
    texts = processor.apply_chat_template([_messages(lesson) for lesson in lessons], tokenize=False)
    pads = processor.image_token * NUM_IMAGE_TOKENS
    all_ids = tokenizer([text.replace(processor.image_token, pads) for text in texts])["input_ids"]
    header = tokenizer("<|im_start|>assistant\n")["input_ids"]
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    return [
        EncodedLesson(ids, _learnt(ids, header, end), lesson.scene)
        for ids, lesson in zip(all_ids, lessons, strict=True)
    ]


def _messages(lesson: Lesson) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": lesson.system}] if lesson.system else []
    for number, (question, answer) in enumerate(lesson.turns):
        picture = [{"type": "image"}] if number == 0 and lesson.scene else []
        messages.append({"role": "user", "content": [*picture, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": answer})
    return messages


def _learnt(ids: Sequence[int], header: Sequence[int], end: int) -> list[bool]:
    """Mark what follows the header of an assistant's turn, up to and with its end."""
    marks, is_answer = [False] * len(ids), False
    for place, token in enumerate(ids):
        marks[place] = is_answer
        if token == end:
            is_answer = False
        elif list(ids[place + 1 - len(header) : place + 1]) == header:
            is_answer = True
    return marks


def patches(scenes: Sequence[Scene], processor: Qwen2_5_VLProcessor) -> dict[str, torch.Tensor]:
    """Return the pictures of scenes as inputs of the vision tower: `pixel_values` and `image_grid_thw`."""
    pixels = torch.from_numpy(np.stack([np.asarray(draw(scene)) for scene in scenes])).permute(0, 3, 1, 2).contiguous()
    return dict(processor.image_processor(images=list(pixels), return_tensors="pt"))


def batches(lessons: Sequence[EncodedLesson], size: int, rng: random.Random) -> Iterator[list[EncodedLesson]]:
    """Yield every lesson once, in batches of similar length, in random order."""
    shuffled = rng.sample(lessons, len(lessons))
    for start in range(0, len(shuffled), size * BUCKET):
        bucket = sorted(shuffled[start : start + size * BUCKET], key=lambda lesson: len(lesson.input_ids))
        chunks = [bucket[place : place + size] for place in range(0, len(bucket), size)]
        yield from rng.sample(chunks, len(chunks))


def collate(
    batch: Sequence[EncodedLesson], processor: Qwen2_5_VLProcessor
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the model's inputs, padded on the right, and the mask of learnt tokens, both (batch, length)."""
    length = max(len(lesson.input_ids) for lesson in batch)
    input_ids = torch.full((len(batch), length), processor.tokenizer.pad_token_id)
    attention_mask = torch.zeros(len(batch), length, dtype=torch.long)
    is_learnt = torch.zeros(len(batch), length, dtype=torch.bool)
    for row, lesson in enumerate(batch):
        end = len(lesson.input_ids)
        input_ids[row, :end] = torch.tensor(lesson.input_ids)
        attention_mask[row, :end] = 1
        is_learnt[row, :end] = torch.tensor(lesson.is_learnt)
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    inputs = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "mm_token_type_ids": (input_ids == image_token).int(),
    }
    scenes = [lesson.scene for lesson in batch if lesson.scene]
    return inputs | (patches(scenes, processor) if scenes else {}), is_learnt
