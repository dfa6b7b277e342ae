"""What vLLM needs beside TRL's own handling of it: pictures already scaled, and a base that the sync leaves as it was.

TRL 1.16 gives vLLM the prompt's tokens, in which pictures are expanded as our processor scales them, and beside them
the pictures as they are in the rows. vLLM scales them by the model's own files, which know nothing of a recipe's
bounds. And at each sync TRL adds the adapter to the base and subtracts it again, which in bfloat16 does not give back
what was there. Neither has been run with vLLM itself; the tests hold both without it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from peft.tuners.lora import LoraLayer
from PIL import Image

from eval.families import scaling_of
from eval.families.scaling import replacements
from eval.models.loading import tokenizer_of
from stages.errors import StageError

Pictures = Sequence[Sequence[Image.Image] | None]


@contextmanager
def kept_weights(model: Any) -> Iterator[None]:
    """Put the very tensors of the adapted layers back when the block ends, whatever is added to them meanwhile.

    Takes a copy of these layers' weights. Quantised ones are left alone: nothing is added to them in place.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    weights = [layer.get_base_layer().weight for layer in layers]
    weights = [weight for weight in weights if weight.is_floating_point()]
    originals = [weight.data for weight in weights]
    try:
        for weight in weights:
            weight.data = weight.data.clone()
        yield
    finally:
        for weight, original in zip(weights, originals, strict=True):
            weight.data = original


def keeping_weights(sync: Callable[[], None], model: Any) -> Callable[[], None]:
    """Return a sync of weights that leaves the base as it was, bit for bit."""

    @wraps(sync)
    def kept_sync() -> None:
        with kept_weights(model):
            sync()

    return kept_sync


class ScaledPictures:
    """Pictures as vLLM has to get them, for a processor with bounds on their pixels."""

    def __init__(self, bounded: Any, published: Any) -> None:
        """Take the processor that prompts were tokenised with, and the model's own, by which vLLM scales."""
        self.bounded = bounded
        self.published = published
        self.has_bounds = bounded is not tokenizer_of(bounded) and _settings(bounded) != _settings(published)

    def of(self, pictures: Pictures | None) -> Pictures | None:
        """Return the pictures of rows, scaled so that vLLM makes as many tokens of each as the prompt has.

        Raises:
            StageError: vLLM would scale a picture otherwise.
        """
        if pictures is None or not self.has_bounds:
            return pictures
        return [row and self._row(row) for row in pictures]

    def _row(self, pictures: Sequence[Image.Image]) -> list[Image.Image]:
        scaling = scaling_of(self.bounded)
        sizes = [(picture.height, picture.width) for picture in pictures]
        expected = replacements(scaling, self.bounded, sizes)
        targets = scaling.targets(self.bounded, sizes)
        if replacements(scaling, self.published, targets) != expected:
            name = type(self.bounded).__name__
            raise StageError(
                f"use_vllm: {name} cannot be given pictures within these bounds, since vLLM would scale them again; "
                "leave out min_pixels and max_pixels, or use_vllm"
            )
        return [
            picture if size == target else picture.resize(target[::-1], Image.Resampling.BICUBIC)
            for picture, size, target in zip(pictures, sizes, targets, strict=True)
        ]


def _settings(processor: Any) -> Any:
    return processor.image_processor.to_dict()
