"""The recipes of a working folder: the pocket world's, cut to the data, or those that `tritrace fit` finds."""

import re
from importlib.resources import files
from pathlib import Path

from protocol.errors import UserError
from stages.spec import POCKET, STAGES

_POCKET_EPOCHS = 3
"""Passes of SFT over the rows; a step takes eight rows."""
_LEAST_STEPS = 100
"""Minimum steps of SFT. With fewer, the model does not learn the trace language, and GRPO finds nothing to reward."""


def recipes_for(model: str, card: str | None, folder: Path, num_train: int) -> dict[str, str]:
    """Return the text of each recipe, by the name of its file.

    Args:
        model: a name on the hub, a shape, a folder, or "pocket".
        card: GiB, or a card's name; the pocket model needs none.
        folder: the working folder.
        num_train: queries to train on.

    Raises:
        UserError: nothing fits, the card is missing or not known, or there is no such model.
    """
    return _pocket(folder, num_train) if model == POCKET else _fitted(model, card, folder)


def _fitted(model: str, card: str | None, folder: Path) -> dict[str, str]:
    """Return recipes that fit a card. Only this function imports torch, which takes seconds."""
    if card is None:
        raise UserError(f"--card: which card will {model} be trained on? Give its memory in GiB, such as --card 16")
    from stages.fit.cards import find_cards
    from stages.fit.choice import fit
    from stages.fit.model import find_model
    from stages.fit.recipe_text import Places, recipe_files
    from stages.fit.time import amounts_within

    cards = [each for each in find_cards(card) if each.bf16 or len(find_cards(card)) == 1]
    found = fit(find_model(model), cards[0].gib, list(STAGES), half="bfloat16" if cards[0].bf16 else "float16")
    if not found.stages:
        raise UserError(
            f"--model {model}: not even its smallest setting fits {card}; `tritrace fit {model} --card {card}`"
        )
    slowest = min((each for each in cards if each.name), key=lambda each: each.tflops, default=None)
    amounts = amounts_within(found.stages, slowest, None)
    places = Places(*((folder / name).as_posix() for name in ("recipes", "run", "data")))
    return recipe_files(found, amounts, places)


def _pocket(folder: Path, num_train: int) -> dict[str, str]:
    """Return the pocket recipes, changed for your own data, which has longer answers and fewer rows."""
    steps = min(450, max(_LEAST_STEPS, _POCKET_EPOCHS * num_train // 8))
    changes: dict[str, dict[str, object]] = {
        "sft": {"max_steps": steps, "save_steps": max(10, steps // 4)},
        "dpo": {},
        "grpo": {"max_completion_length": 256, "max_steps": min(60, max(10, num_train // 8))},
    }
    found = {}
    for stage, changed in changes.items():
        text = _shipped(f"{stage}.yaml").replace("runs/pocket/data", (folder / "data").as_posix())
        text = text.replace("runs/pocket/", (folder / "run").as_posix() + "/")
        text = text.replace("stages/recipes/pocket/", (folder / "recipes").as_posix() + "/")
        for key, value in changed.items():
            text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", text)
        found[f"{stage}.yaml"] = text
    found["curriculum.yaml"] = "\n".join(
        [
            f"# tritrace curriculum {folder}/recipes/curriculum.yaml",
            "# A trial of the way: the pocket model is tiny, and has seen nothing but the pocket world.",
            f"model: {POCKET}",
            f"data: {folder}/data",
            f"output: {folder}/run",
            "seeds: [0]",
            *(f"{stage}: {stage}.yaml" for stage in STAGES),
            "eval_max_new_tokens: 256",
            "",
        ]
    )
    return found


def _shipped(name: str) -> str:
    return files("stages").joinpath("recipes", "pocket", name).read_text(encoding="utf-8")
