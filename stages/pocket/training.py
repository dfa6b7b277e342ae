"""The recipe of the pocket model's pretraining, and the loop that minimises a loss by it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from tqdm import tqdm

from stages.progress import say
from toolkit.pace import Pace


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


def train(
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


def adamw(parameters: Sequence[torch.nn.Parameter], rate: float, recipe: PretrainingRecipe) -> torch.optim.Optimizer:
    """Return AdamW for embeddings, gains and biases."""
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)


def endless(epoch: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Yield the batches of endless epochs."""
    while True:
        yield from epoch()
