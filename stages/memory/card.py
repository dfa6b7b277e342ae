"""Determines the memory available to a stage: of the recipe's card, of the GPU here, or of this machine."""

import os
from typing import NamedTuple

import torch

from stages.memory.estimate import CUDA_CONTEXT_BYTES, GIB


class Room(NamedTuple):
    """Available memory, to compare an estimate with."""

    size: int
    """Bytes."""
    name: str
    """Name of the device, for messages."""


def available(card_gib: float | None) -> Room:
    """Return the smallest of: the recipe's card, the GPU here, and its free memory.

    A recipe for a larger card does not make the GPU here larger, and memory of other processes is not available.
    """
    rooms = [] if card_gib is None else [Room(int(card_gib * GIB), "the card of the recipe")]
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        rooms.append(Room(int(torch.cuda.get_device_properties(0).total_memory), name))
        rooms.append(Room(_free(), f"{name}, as far as it is free,"))
    if not rooms:
        return Room(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine")
    return min(rooms, key=lambda room: room.size)


def _free() -> int:
    """Return the GPU memory for this process: free memory plus its own memory, including its context."""
    free, total = torch.cuda.mem_get_info(0)
    return int(min(total, free + torch.cuda.memory_reserved(0) + CUDA_CONTEXT_BYTES))
