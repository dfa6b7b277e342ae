"""Scales pictures before they go to vLLM.

TRL 1.16 gives vLLM the prompt's tokens, with pictures expanded for the scaling of our processor, and the original
pictures. vLLM scales them by the model's own files, without the recipe's bounds. This was not run with vLLM itself; the
tests check it without vLLM.
"""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from eval.families import scaling_of
from eval.families.scaling import replacements
from eval.models.processors import tokenizer_of
from stages.errors import StageError

Pictures = Sequence[Sequence[Image.Image] | None]


class ScaledPictures:
    """Scales pictures for vLLM, for a processor with bounds on pixels."""

    def __init__(self, bounded: Any, published: Any) -> None:
        """Store the processor of the prompts, and the model's original processor, which vLLM uses."""
        self.bounded = bounded
        self.published = published
        self.has_bounds = bounded is not tokenizer_of(bounded) and _settings(bounded) != _settings(published)

    def of(self, pictures: Pictures | None) -> Pictures | None:
        """Return the pictures of rows, scaled so that vLLM makes the same number of tokens as in the prompt.

        Raises:
            StageError: vLLM would scale a picture differently.
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
                f"use_vllm: {name} cannot use pictures within these bounds, because vLLM would scale them again; "
                "leave out min_pixels and max_pixels, or use_vllm"
            )
        return [
            picture if size == target else picture.resize(target[::-1], Image.Resampling.BICUBIC)
            for picture, size, target in zip(pictures, sizes, targets, strict=True)
        ]


def _settings(processor: Any) -> Any:
    return processor.image_processor.to_dict()
