"""The order of the prompts of GRPO: whole groups, one modality in a batch, the same order after a resume."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch


def has_images(dataset: Any) -> list[bool]:
    """Whether each row of a data set has pictures."""
    if "images" not in dataset.column_names:
        return [False] * len(dataset)
    return [bool(images) for images in dataset["images"]]


class GroupSampler(torch.utils.data.Sampler[int]):
    """Yields the indices of TRL's `RepeatSampler`, with two differences.

    First, the order of an epoch depends only on the seed and the epoch, so that a resumed run sees the same prompts;
    without shuffling, it is the order of the rows. Second, a generation batch has one modality, because TRL crashes
    with a mixed batch; prompts that do not fill a batch are left out of the epoch.
    """

    def __init__(
        self,
        *,
        has_images: Sequence[bool],
        group_size: int,
        groups_per_batch: int,
        num_repeats: int,
        seed: int,
        shuffle: bool = True,
    ) -> None:
        self.has_images = has_images
        self.group_size = group_size
        self.groups_per_batch = groups_per_batch
        self.num_repeats = num_repeats
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        num_batches = sum(list(self.has_images).count(modality) // self.groups_per_batch for modality in (False, True))
        return num_batches * self.groups_per_batch * self.group_size * self.num_repeats

    def __iter__(self) -> Iterator[int]:
        for batch in self._batches():
            for _ in range(self.num_repeats):
                for index in batch:
                    yield from [index] * self.group_size

    def _batches(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)

        def ordered(count: int) -> list[int]:
            return torch.randperm(count, generator=generator).tolist() if self.shuffle else list(range(count))

        order = ordered(len(self.has_images))
        batches = []
        for modality in (False, True):
            indices = [index for index in order if self.has_images[index] == modality]
            whole = len(indices) - len(indices) % self.groups_per_batch
            batches += [indices[at : at + self.groups_per_batch] for at in range(0, whole, self.groups_per_batch)]
        return [batches[at] for at in ordered(len(batches))]
