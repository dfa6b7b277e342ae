"""How many pictures each row has, for a model that asks.

LLaVA-OneVision sees a single picture on a grid, and several in a tile each. TRL 1.16 does not pass on what its
processor says of that.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def takes_picture_counts(base: Any) -> bool:
    """Whether a model asks how many pictures each row has."""
    return "batch_num_images" in inspect.signature(type(base).forward).parameters


@contextmanager
def telling_picture_counts(model: Any, counts: Sequence[int] | None) -> Iterator[None]:
    """Give a model's forward passes the counts of their rows, one pass taking up the rows where the last one ended.

    Args:
        model: without its wrappers for several devices.
        counts: pictures of each row, in the order of the passes; None for rows without pictures.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if counts is None or not takes_picture_counts(base):
        yield
        return
    place = 0

    def tell(_: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal place
        if "batch_num_images" in kwargs or "pixel_values" not in kwargs:
            return args, kwargs  # told already, or past the pictures
        rows = kwargs["input_ids"].shape[0]
        place += rows
        return args, kwargs | {"batch_num_images": list(counts[place - rows : place])}

    handle = base.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
