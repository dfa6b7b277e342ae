"""Rows of like length in one batch, so that little of it is padding: `train_sampling_strategy: group_by_length`.

transformers 5.23 has the grouping, and two things keep its sampler from doing here: it reads lengths from `input_ids`,
which rows with pictures have only once a batch is made, and it draws from the global generator, so that a resumed run
would go on with other batches. Here lengths are those that preflight counts, pictures included, and the order of an
epoch follows from seed and epoch alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from stages.inputs.columns import Row
from stages.inputs.lengths import row_lengths

STRATEGY = "group_by_length"


class LengthGroups(Sampler[int]):
    """The order of rows, an epoch at a time: those of an update are of like length, updates follow at random.

    The update with the longest row comes first, so that a lack of memory shows at once. The order of updates is ours:
    transformers' goes from long to short in every 50 of them.
    """

    def __init__(self, lengths: Sequence[int], rows_per_update: int, seed: int) -> None:
        """Take the tokens of each row, in the order of the data set, and how many rows make an update."""
        self.lengths = list(lengths)
        self.rows_per_update = rows_per_update
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next, as accelerate does; a resumed run asks for a later one first."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of the epoch, then turn to the next one."""
        drawn = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order: list[int] = get_length_grouped_indices(self.lengths, self.rows_per_update, generator=drawn)
        size = self.rows_per_update
        updates = [order[first : first + size] for first in range(0, len(order), size)]
        last = len(updates) - (1 if len(order) % size else 0)  # one that is not full stays where it is
        shuffled = [1 + place for place in torch.randperm(max(0, last - 1), generator=drawn).tolist()]
        yield from (row for place in [0, *shuffled, *range(max(1, last), len(updates))] for row in updates[place])
        self.epoch += 1


class GroupsByLength:
    """Gives a trainer of transformers this order where its recipe asks for it; stands before the trainer's class."""

    args: Any
    lengths: Sequence[int] | None = None
    """Tokens of each row of the data set; None where nothing is grouped."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)  # type: ignore[misc]
        rows_per_update = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return LengthGroups(self.lengths, rows_per_update, seed)


def lengths_to_group(config: Any, rows: Sequence[Row], processor: Any, images_root: Path) -> list[int] | None:
    """Return the tokens of each row, in order, where a recipe groups them; else None.

    Raises:
        StageError: the processor refuses a picture.
    """
    if config.train_sampling_strategy != STRATEGY:
        return None
    length_of = row_lengths(rows, processor, images_root)
    return [length_of[row.id] for row in rows]


def padding_share(lengths: Sequence[int], order: Sequence[int], rows_per_batch: int) -> float:
    """Return which share of the tokens that go through a model is padding.

    Args:
        lengths: of the rows.
        order: in which they come.
        rows_per_batch: of a batch, which is padded to its longest row.
    """
    batches = [order[first : first + rows_per_batch] for first in range(0, len(order), rows_per_batch)]
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return 1 - sum(lengths[row] for row in order) / padded
