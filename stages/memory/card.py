"""How much memory a stage may take: of the card that its recipe names, of the one that is here, or of this machine."""

import os
from typing import NamedTuple

import torch

from stages.memory.estimate import CUDA_CONTEXT_BYTES, GIB


class Room(NamedTuple):
    """What an estimate is compared with."""

    size: int
    """Bytes."""
    name: str
    """Whose they are, for a sentence."""


def available(card_gib: float | None) -> Room:
    """Return the least of what the recipe's card has, what the card here has, and what of that is free.

    A recipe for a larger card does not make the card here larger, and what other processes hold cannot be had.
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
    """Return what this process may hold: what is free, and what it holds already, its context included."""
    free, total = torch.cuda.mem_get_info(0)
    return int(min(total, free + torch.cuda.memory_reserved(0) + CUDA_CONTEXT_BYTES))
