"""Pretrains the pocket model from scratch: first to see, then to answer every question.

    from stages.pocket.pretrain import cached_pocket_model

Seeing comes first: otherwise a language model this small learns to guess from the words alone and ignores the picture.
The vision tower learns which words apply to which part of a picture (objects, colours, setting, words of the note), as
real towers learn from captions. Then the whole model learns the lessons of `corpus.py`. The first lessons are short and
look words up in the picture; without them it depends on chance whether the model learns this. The result is a folder
that `AutoModelForImageTextToText` and `AutoProcessor` can load. Its name has the hash of all its inputs.
"""

import hashlib
import json
import math
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from tqdm import tqdm
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.utils.logging import disable_progress_bar

from data.files.locks import held
from data.pocket.lexicon import COLOURS, OBJECTS, SETTINGS
from data.pocket.pictures.scenes import CELL, GRID, Scene
from data.pocket.world import WORLD_VERSION
from stages.pocket import corpus
from stages.pocket.batches import EncodedLesson, batches, collate, encode, patches
from stages.pocket.corpus import Lesson, TraceText
from stages.pocket.model import PocketSizes, build_model, build_processor
from stages.pocket.muon import Muon
from stages.pocket.tokenizer import train_tokenizer
from stages.progress import say
from toolkit.pace import Pace

VERSION = 26
"""Version of the training method; increased with every change."""
SCALE = 16.0
"""Initial scale of the cosine between an image token and a word."""
BIAS = -8.0
"""Initial bias of a word's score: most words apply to few tokens."""
FEATURE_NORM = 1.5
"""Target length of the features of a picture: about the length of the embeddings of two words."""
FEATURE_NORM_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class PretrainingRecipe:
    """Numbers of steps and learning rates."""

    num_scenes: int = 10_000
    """Pictures for the vision tower; half of them have a note with random words."""
    sight_steps: int = 210
    """Steps that train only the vision tower."""
    sight_batch_size: int = 64
    sight_learning_rate: float = 3e-3
    num_lessons: int = 12_160
    """Lessons for the whole model; as many as its steps need."""
    first_steps: int = 260
    """Steps of the whole model on the first, short lessons."""
    steps: int = 380
    """Steps of the whole model on all other lessons."""
    batch_size: int = 32
    learning_rate: float = 1.2e-3
    """Learning rate of embeddings, gains and biases."""
    matrix_learning_rate: float = 2e-3
    """Learning rate of the matrices (Muon); with twice this rate, look-up and reading are learnt later."""
    perception_share: float = 0.05
    """Share of lessons about everything in a picture."""
    reading_share: float = 0.16
    """Share of lessons about notes with random words."""
    copying_share: float = 0.08
    """Share of lessons that ask to repeat a text; the rest are queries."""
    warmup_share: float = 0.05
    """Share of the steps in which the learning rate rises."""
    decay_share: float = 0.4
    """Share of the last steps in which the learning rate falls; it is constant in between."""
    weight_decay: float = 0.01


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
    _learn_to_see(model, processor, seed, recipe)
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


def _learn_to_see(model: Any, processor: Qwen2_5_VLProcessor, seed: int, recipe: PretrainingRecipe) -> None:
    """Train the vision tower to predict, for each image token, which words apply to it.

    Scores are computed with the language model's own embeddings, so that an image token becomes similar to the words
    that describe it. Scores are cosines with a learnt scale and bias, as in SigLIP (Zhai et al., arXiv 2303.15343).
    With plain products, features would grow long and point away from all other words, and not towards their own words.
    """
    num_noted = recipe.num_scenes // 2
    plain = [item.scene for item in corpus.plain_queries(recipe.num_scenes - num_noted, seed + 2)]
    scenes = [*plain, *corpus.noted_scenes(num_noted, seed + 2)]
    vocabulary = _vocabulary(scenes, processor)
    embeddings = model.model.language_model.embed_tokens.weight
    token_ids = torch.tensor(list(vocabulary.values()))
    bias = torch.nn.Parameter(torch.full((len(vocabulary),), BIAS))
    log_scale = torch.nn.Parameter(torch.tensor(math.log(SCALE)))

    def loss(batch: Sequence[Scene]) -> torch.Tensor:
        pixels = patches(batch, processor)
        features = model.model.get_image_features(pixels["pixel_values"], pixels["image_grid_thw"]).pooler_output
        seen = torch.stack(list(features))
        scores = log_scale.exp() * normalize(seen, dim=-1) @ normalize(embeddings[token_ids], dim=-1).T + bias
        too_long = (seen.norm(dim=-1) - FEATURE_NORM).square().mean()
        return sight_loss(scores, batch, list(vocabulary)) + FEATURE_NORM_WEIGHT * too_long

    rng = random.Random(seed)
    chunks = _endless(lambda: _chunks(rng.sample(scenes, len(scenes)), recipe.sight_batch_size))
    parameters = [*model.model.visual.parameters(), embeddings, bias, log_scale]
    _train(
        loss,
        chunks,
        [_adamw(parameters, recipe.sight_learning_rate, recipe)],
        recipe.sight_steps,
        recipe,
        lesson="seeing",
    )


def sight_loss(scores: torch.Tensor, scenes: Sequence[Scene], words: Sequence[str]) -> torch.Tensor:
    """Return the cross-entropy per picture between the scores of words and the content of the pictures.

    A thing's name and colour apply to the token of its cell; the setting applies to the tokens of all empty cells. A
    written word applies to some token of the note: its score is a smooth maximum over these tokens.

    Args:
        scores: scores of shape (pictures, tokens, words).
        scenes: the scenes of the pictures.
        words: the words on the last axis of the scores.
    """
    truth = torch.zeros(scores.shape)
    written = torch.zeros(len(scenes), len(words))
    is_note, is_empty = torch.zeros(2, *scores.shape[:2], dtype=torch.bool)
    columns = {word: column for column, word in enumerate(words)}
    for row, scene in enumerate(scenes):
        things = {thing.top // CELL * GRID + thing.left // CELL: thing for thing in scene.things}
        for place in range(scores.shape[1]):
            is_note[row, place] = place // GRID == scene.note_row
            is_empty[row, place] = place not in things and not is_note[row, place]
        truth[row, is_empty[row], columns[scene.setting]] = 1.0
        written[row, [columns[word] for word in scene.text.split() if word in columns]] = 1.0
        for place, thing in things.items():
            truth[row, place, [columns[word] for word in (thing.name, thing.colour) if word in columns]] = 1.0
    is_setting = torch.tensor([word in SETTINGS for word in words])
    of_things = _summed(scores[~is_note][:, ~is_setting], truth[~is_note][:, ~is_setting])
    of_settings = _summed(scores[is_empty][:, is_setting], truth[is_empty][:, is_setting])
    has_note = is_note.any(dim=1)
    of_notes = scores.masked_fill(~is_note[..., None], -math.inf)[has_note].logsumexp(dim=1)
    return (of_things + of_settings + _summed(of_notes, written[has_note])) / len(scenes)


def _summed(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return binary_cross_entropy_with_logits(scores, truth, reduction="sum")


def _vocabulary(scenes: Sequence[Scene], processor: Qwen2_5_VLProcessor) -> dict[str, int]:
    """Return the token of every word that a picture can show, if the word is a single token."""
    words = sorted({*OBJECTS, *COLOURS, *SETTINGS} | {word for scene in scenes for word in scene.text.split()})
    ids = processor.tokenizer([f" {word}" for word in words])["input_ids"]
    return {word: tokens[0] for word, tokens in zip(words, ids, strict=True) if len(tokens) == 1}


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[place : place + size] for place in range(0, len(items), size))


def _endless(epoch: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Yield the batches of endless epochs."""
    while True:
        yield from epoch()


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
    first, second = (_endless(partial(batches, lessons, recipe.batch_size, rng)) for lessons in courses)
    chunks = chain(islice(first, recipe.first_steps), second)
    embeddings = model.model.language_model.embed_tokens.weight
    matrices = [each for each in model.parameters() if each.ndim == 2 and each is not embeddings]
    others = [each for each in model.parameters() if each.ndim != 2 or each is embeddings]
    by_muon = Muon(matrices, lr=recipe.matrix_learning_rate, weight_decay=recipe.weight_decay)
    num_steps = recipe.first_steps + recipe.steps
    _train(loss, chunks, [by_muon, _adamw(others, recipe.learning_rate, recipe)], num_steps, recipe, lesson="answering")


def _adamw(parameters: Sequence[torch.nn.Parameter], rate: float, recipe: PretrainingRecipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)


def _train(
    loss_of: Callable[[Any], torch.Tensor],
    chunks: Iterator[Any],
    optimizers: Sequence[torch.optim.Optimizer],
    num_steps: int,
    recipe: PretrainingRecipe,
    *,
    lesson: str,
) -> None:
    """Minimise a loss; the learning rates rise briefly, stay constant, and then fall to nearly 0."""
    warmup, decay = (max(1, round(share * num_steps)) for share in (recipe.warmup_share, recipe.decay_share))
    parameters = [each for optimizer in optimizers for group in optimizer.param_groups for each in group["params"]]

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warmup, 0.02 + (num_steps - step) / decay)

    schedulers = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]
    bar = tqdm(
        islice(chunks, num_steps),
        total=num_steps,
        desc=f"model: {lesson}",
        unit="step",
        leave=False,
        disable=None,
    )
    pace = Pace()
    for step, chunk in enumerate(bar, start=1):
        loss = loss_of(chunk)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        if not sys.stderr.isatty() and (step % 50 == 0 or step == num_steps):
            left = pace.words(step, num_steps)
            say(f"model: {lesson}: step {step}/{num_steps}  loss {loss.item():.3g}  {left}")
