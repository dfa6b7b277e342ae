"""Replaces `model.generate` for the time of a block, because TRL passes nothing further to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import LogitsProcessorList


@contextmanager
def generating_by(model: Any, generate: Callable[..., Any]) -> Iterator[None]:
    """Replace `model.generate` with another function."""
    before = vars(model).get("generate")
    model.generate = generate
    try:
        yield
    finally:
        if before is None:
            del model.generate
        else:
            model.generate = before


@contextmanager
def processed(model: Any, build_processor: Any) -> Iterator[None]:
    """Make every `generate` use a new logits processor; TRL accepts none, and one processor works for one call only."""
    generate = model.generate

    def generate_processed(*args: Any, **kwargs: Any) -> Any:
        return generate(*args, logits_processor=LogitsProcessorList([build_processor()]), **kwargs)

    with generating_by(model, generate_processed):
        yield
