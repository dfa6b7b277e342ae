"""Passes the number of pictures of each row to models that need it.

LLaVA-OneVision puts a single picture on a grid, and gives each of several pictures one tile. TRL 1.16 does not pass
this output of the processor on.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def takes_picture_counts(base: Any) -> bool:
    """Whether a model needs the number of pictures of each row."""
    return "batch_num_images" in inspect.signature(type(base).forward).parameters


@contextmanager
def telling_picture_counts(model: Any, counts: Sequence[int] | None) -> Iterator[None]:
    """Pass the counts to a model's forward passes; each pass continues with the rows after the last pass.

    Args:
        model: the model without wrappers for several devices.
        counts: number of pictures of each row, in the order of the passes; None for rows without pictures.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if counts is None or not takes_picture_counts(base):
        yield
        return
    place = 0

    def tell(_: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal place
        if "batch_num_images" in kwargs or "pixel_values" not in kwargs:
            return args, kwargs  # it has the counts already, or the pictures were processed before
        rows = kwargs["input_ids"].shape[0]
        place += rows
        return args, kwargs | {"batch_num_images": list(counts[place - rows : place])}

    handle = base.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
