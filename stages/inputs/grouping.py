"""Puts rows of similar length into one batch, to reduce padding: `train_sampling_strategy: group_by_length`.

transformers 5.23 groups rows, but its sampler does not work here for two reasons. It reads lengths from `input_ids`,
and rows with pictures have none before a batch is made. It draws from the global generator, so a resumed run would
continue with different batches. This module uses the lengths that preflight counts, with pictures, and the order of an
epoch depends only on seed and epoch.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from data.rows import TrainingRow
from stages.inputs.lengths import row_lengths

STRATEGY = "group_by_length"


class LengthGroups(Sampler[int]):
    """The order of rows, one epoch at a time: rows of an update have similar length, and updates come in random order.

    The update with the longest row comes first, so that a lack of memory shows at once. The random order of updates is
    our own: transformers sorts every 50 updates from long to short.
    """

    def __init__(self, lengths: Sequence[int], rows_per_update: int, seed: int) -> None:
        """Store the number of tokens of each row, in the order of the data set, and the number of rows in an update."""
        self.lengths = list(lengths)
        self.rows_per_update = rows_per_update
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the order; accelerate calls it. A resumed run starts with a later epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of the epoch, then move to the next epoch."""
        drawn = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order: list[int] = get_length_grouped_indices(self.lengths, self.rows_per_update, generator=drawn)
        size = self.rows_per_update
        updates = [order[first : first + size] for first in range(0, len(order), size)]
        last = len(updates) - (1 if len(order) % size else 0)  # an incomplete update stays at the end
        shuffled = [1 + place for place in torch.randperm(max(0, last - 1), generator=drawn).tolist()]
        yield from (row for place in [0, *shuffled, *range(max(1, last), len(updates))] for row in updates[place])
        self.epoch += 1


class GroupsByLength:
    """Gives a trainer this order if its recipe asks for it; a base class in front of the trainer of transformers."""

    args: Any
    lengths: Sequence[int] | None = None
    """Number of tokens of each row of the data set; None if rows are not grouped."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)  # type: ignore[misc]
        rows_per_update = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return LengthGroups(self.lengths, rows_per_update, seed)


def lengths_to_group(config: Any, rows: Sequence[TrainingRow], processor: Any, images_root: Path) -> list[int] | None:
    """Return the number of tokens of each row, in order, if the recipe groups rows; otherwise None.

    Raises:
        StageError: the processor refuses a picture.
    """
    if config.train_sampling_strategy != STRATEGY:
        return None
    length_of = row_lengths(rows, processor, images_root)
    return [length_of[row.id] for row in rows]


def padding_share(lengths: Sequence[int], order: Sequence[int], rows_per_batch: int) -> float:
    """Return the share (0..1) of padding among the tokens that a model processes.

    Args:
        lengths: number of tokens of each row.
        order: indices of the rows, in order.
        rows_per_batch: number of rows in a batch; a batch is padded to its longest row.
    """
    batches = [order[first : first + rows_per_batch] for first in range(0, len(order), rows_per_batch)]
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return 1 - sum(lengths[row] for row in order) / padded
