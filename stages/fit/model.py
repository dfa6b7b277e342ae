"""Finds a model's configuration, and the name under which its recipes load it. Reads no weights."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from eval.models.loading import load_config
from stages.memory.shapes import shape_config, shape_names


@dataclass(frozen=True, slots=True)
class FitModel:
    """A model to find settings for."""

    name: str
    """Name of its recipe folder."""
    hub_name: str
    """The name on the hub or the folder that a recipe loads."""
    config: Any
    shape: str | None
    """Its shape in `stages/shapes/`, if there is one."""


def find_model(name: str) -> FitModel:
    """Return the model of a shape in the repository, of a name on the hub, or of a folder.

    Raises:
        ModelError: there is no such model, or it is of a kind that is not supported.
    """
    shape = name if name in shape_names() else _shape_of_hub_name(name)
    if shape is not None:
        return FitModel(shape, str(shape_sources()[shape]["hub"]), shape_config(shape), shape)
    return FitModel(Path(name).name.lower(), name, load_config(name), None)


@cache
def shape_sources() -> dict[str, dict[str, Any]]:
    """Return for each shape its name on the hub, its number of weights, and the source of its values."""
    text = files("stages").joinpath("shapes", "sources.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _shape_of_hub_name(name: str) -> str | None:
    if Path(name).exists():
        return None
    return next((shape for shape, entry in shape_sources().items() if entry["hub"] == name), None)
