"""Pretrains the pocket model from scratch: first to see, then to answer every question.

    from stages.pocket.pretrain import cached_pocket_model

Seeing comes first: otherwise a language model this small learns to guess from the words alone and ignores the picture.
The vision tower learns which words apply to which part of a picture (objects, colours, setting, words of the note), as
real towers learn from captions. Then the whole model learns the lessons of `lessons/corpus.py`. The first lessons are
short and look words up in the picture; without them it depends on chance whether the model learns this. The result is a
folder that `AutoModelForImageTextToText` and `AutoProcessor` can load. Its name has the hash of all its inputs.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.utils.logging import disable_progress_bar

from data.files.locks import held
from data.pocket.world import WORLD_VERSION
from stages.pocket.lessons import corpus
from stages.pocket.lessons.batches import EncodedLesson, batches, collate, encode
from stages.pocket.lessons.corpus import Lesson, TraceText
from stages.pocket.model import PocketSizes, build_model, build_processor
from stages.pocket.muon import Muon
from stages.pocket.sight import learn_to_see
from stages.pocket.tokenizer import train_tokenizer
from stages.pocket.training import PretrainingRecipe, adamw, endless, train
from stages.progress import say

VERSION = 26
"""Version of the training method; increased with every change."""


def cached_pocket_model(
    root: Path, *, trace_texts: Sequence[TraceText], seed: int, recipe: PretrainingRecipe | None = None
) -> Path:
    """Return the folder of the pocket model; pretrain it if it does not exist.

    Args:
        root: folder of pocket models; each one has its own subfolder.
        trace_texts: system prompts and responses of the later stages. The tokenizer learns their words, and copying
            lessons use their lines. No lesson has them as its answer.
        seed: seed of the weights, the lessons and their order.
        recipe: numbers of steps and learning rates; the default is that of the quickstart.

    Raises:
        LockedError: another process is making the same model.
    """
    recipe = recipe or PretrainingRecipe()
    path = root / f"pocket-{_content_hash(trace_texts, seed, recipe)}"
    if path.is_dir():
        return path
    with held(path):
        say("model: pretraining the pocket model from scratch: first seeing, then answering (once; then it is cached)")
        disable_progress_bar()  # it shows one for every written file
        draft = root / f".{path.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        model, processor = pretrain(trace_texts, seed, recipe)
        model.save_pretrained(draft)
        processor.save_pretrained(draft)
        draft.rename(path)
    return path


def _content_hash(trace_texts: Sequence[TraceText], seed: int, recipe: PretrainingRecipe) -> str:
    content = {
        "version": VERSION,
        "world": WORLD_VERSION,
        "texts": sorted({(text.system, text.response) for text in trace_texts}),
        "seed": seed,
        "recipe": asdict(recipe),
        "sizes": asdict(PocketSizes()),
        "libraries": [version(name) for name in ("torch", "transformers", "tokenizers")],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def pretrain(
    trace_texts: Sequence[TraceText], seed: int, recipe: PretrainingRecipe
) -> tuple[Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor]:
    """Return the trained model and its processor."""
    first = corpus.first_lessons(recipe.first_steps * recipe.batch_size, seed)
    lessons = _lessons(trace_texts, seed, recipe)
    tokenizer = train_tokenizer(corpus.tokenizer_texts(trace_texts, [*first, *lessons]))
    processor = build_processor(tokenizer)
    model = build_model(tokenizer, seed, PocketSizes())
    model.train()
    learn_to_see(model, processor, seed, recipe)
    _learn_to_answer(model, processor, [encode(first, processor), encode(lessons, processor)], seed, recipe)
    return model.eval(), processor


def _lessons(trace_texts: Sequence[TraceText], seed: int, recipe: PretrainingRecipe) -> list[Lesson]:
    num_perception = round(recipe.num_lessons * recipe.perception_share)
    num_copying = round(recipe.num_lessons * recipe.copying_share)
    num_reading = round(recipe.num_lessons * recipe.reading_share)
    num_queries = recipe.num_lessons - num_perception - num_reading - num_copying
    return [
        *corpus.perception_lessons(num_perception, seed),
        *corpus.reading_lessons(num_reading, seed),
        *corpus.query_lessons(num_queries, seed, trace_texts),
        *corpus.copying_lessons(num_copying, seed, trace_texts),
    ]


def _learn_to_answer(
    model: Any,
    processor: Qwen2_5_VLProcessor,
    courses: Sequence[Sequence[EncodedLesson]],
    seed: int,
    recipe: PretrainingRecipe,
) -> None:
    """Train the whole model on the answers of the lessons: the first course, then the second."""

    def loss(batch: Sequence[EncodedLesson]) -> torch.Tensor:
        inputs, is_learnt = collate(batch, processor)
        hidden = model.model(**inputs).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][is_learnt[:, 1:]])  # only for learnt tokens
        return cross_entropy(logits, inputs["input_ids"][:, 1:][is_learnt[:, 1:]])

    rng = random.Random(seed)
    first, second = (endless(partial(batches, lessons, recipe.batch_size, rng)) for lessons in courses)
    chunks = chain(islice(first, recipe.first_steps), second)
    embeddings = model.model.language_model.embed_tokens.weight
    matrices = [each for each in model.parameters() if each.ndim == 2 and each is not embeddings]
    others = [each for each in model.parameters() if each.ndim != 2 or each is embeddings]
    by_muon = Muon(matrices, lr=recipe.matrix_learning_rate, weight_decay=recipe.weight_decay)
    num_steps = recipe.first_steps + recipe.steps
    train(loss, chunks, [by_muon, adamw(others, recipe.learning_rate, recipe)], num_steps, recipe, lesson="answering")
