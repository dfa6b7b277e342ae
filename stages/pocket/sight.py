"""Teaches the vision tower of the pocket model which words apply to which part of a picture."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, normalize
from transformers import Qwen2_5_VLProcessor

from data.pocket.lexicon import COLOURS, OBJECTS, SETTINGS
from data.pocket.pictures.scenes import CELL, GRID, Scene
from stages.pocket.lessons import corpus
from stages.pocket.lessons.batches import patches
from stages.pocket.training import PretrainingRecipe, adamw, endless, train

SCALE = 16.0
"""Initial scale of the cosine between an image token and a word."""
BIAS = -8.0
"""Initial bias of a word's score: most words apply to few tokens."""
FEATURE_NORM = 1.5
"""Target length of the features of a picture: about the length of the embeddings of two words."""
FEATURE_NORM_WEIGHT = 0.1


def learn_to_see(model: Any, processor: Qwen2_5_VLProcessor, seed: int, recipe: PretrainingRecipe) -> None:
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
    chunks = endless(lambda: _chunks(rng.sample(scenes, len(scenes)), recipe.sight_batch_size))
    parameters = [*model.model.visual.parameters(), embeddings, bias, log_scale]
    train(
        loss,
        chunks,
        [adamw(parameters, recipe.sight_learning_rate, recipe)],
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
