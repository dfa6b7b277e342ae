"""Prints a fit: the settings of each stage, its memory part by part, its hours on named cards."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from stages.fit.cards import Card
from stages.fit.choice import Fit, StageFit
from stages.fit.roofline import ARITHMETIC, BANDWIDTH, TYPICAL, update_seconds
from stages.fit.time import TrainingAmount, hours
from stages.memory.estimate import GIB
from stages.spec import Stage


def print_fit(found: Fit, amounts: Mapping[Stage, TrainingAmount], cards: Sequence[Card], console: Console) -> None:
    """Print a fit, or why there is none and what to do."""
    if not found.stages:
        console.print("\n".join(nothing_fits(found)))
        return
    console.print(_settings(found))
    console.print(_memory(found))
    if named := [card for card in cards if card.name]:
        console.print(_times(found, amounts, named))


def nothing_fits(found: Fit) -> list[str]:
    """Return why nothing fits: the largest parts of the smallest setting, and what to do."""
    memory = found.last.memory
    phase = max((memory.training, memory.sampling), key=lambda parts: sum(parts.values()))
    largest = sorted(phase, key=lambda part: phase[part], reverse=True)[:3]
    parts = ", ".join(f"{part} {phase[part] / GIB:.1f}" for part in largest)
    weights = phase["weights"] / GIB
    advice = (
        "take a smaller model: the weights alone are most of it"
        if weights > found.gib / 2
        else ("take shorter rows and smaller pictures than `tritrace fit` tries, in a recipe of your own")
    )
    return [
        f"nothing fits {found.gib:g} GiB: {found.last.stage} takes {memory.peak / GIB:.1f} GiB ({parts})",
        f"tried last: {found.last.rung}",
        f"what to give up first: {advice}",
    ]


def _settings(found: Fit) -> Table:
    table = Table(
        "stage", "weights", "pictures", "rows", "together", "sampled", "checkpointing", "optimiser", "peak GiB",
        box=box.SIMPLE_HEAD, title=f"{found.model.hub_name} on {found.gib:g} GiB", title_justify="left",
    )  # fmt: skip
    for stage, each in found.stages.items():
        table.add_row(stage, *_cells(each, found.half))
    return table


def _cells(each: StageFit, half: str) -> list[str]:
    step, rung = each.step, each.rung
    picture = "" if not step.image_tokens else f"{step.image_tokens} tokens"
    rows = f"{step.tokens} tokens" + (f", {step.learnt} of them sampled" if step.sampled else "")
    return [
        "NF4" if rung.quantised else half,
        picture,
        rows,
        f"{step.sequences // 2} pairs" if each.stage == "dpo" else str(step.sequences),
        str(step.sampled or ""),
        "on" if step.checkpoints else "off",
        "8 bit" if "8bit" in step.optimiser else "AdamW",
        f"{each.memory.peak / GIB:.2f}",
    ]


def _memory(found: Fit) -> Table:
    columns = [(stage, phase, parts) for stage, each in found.stages.items() for phase, parts in _phases(each)]
    table = Table("GiB, estimated", *(f"{stage}, {phase}" for stage, phase, _ in columns), box=box.SIMPLE_HEAD)
    for name in dict.fromkeys(part for _, _, parts in columns for part in parts):
        table.add_row(name, *(f"{parts[name] / GIB:.2f}" if parts.get(name) else "" for _, _, parts in columns))
    table.add_row("together", *(f"{sum(parts.values()) / GIB:.2f}" for _, _, parts in columns))
    return table


def _phases(each: StageFit) -> list[tuple[str, dict[str, int]]]:
    phases = [("training", each.memory.training)]
    return phases + ([("sampling", each.memory.sampling)] if each.memory.sampling else [])


def _times(found: Fit, amounts: Mapping[Stage, TrainingAmount], cards: Sequence[Card]) -> Table:
    table = Table(
        "card", *(f"{stage}, {each.rows} rows x {each.epochs}" for stage, each in amounts.items()), "together",
        box=box.SIMPLE_HEAD,
        caption=f"Estimates by each card's figures, at {ARITHMETIC:.0%} of its arithmetic and {BANDWIDTH:.0%} of its "
        f"bandwidth, with rows of {TYPICAL:.0%} of the longest and responses of full length; nothing was run.",
        caption_justify="left",
    )  # fmt: skip
    for card in cards:
        cells, total = [], 0.0
        for stage, each in found.stages.items():
            spent = hours(each, amounts[stage], card)
            total += spent
            cells.append(
                f"{_short(spent)}, {update_seconds(each.shape, each.step, card, each.accumulation).total:.0f} s a step"
            )
        table.add_row(card.name, *cells, _short(total))
    return table


def _short(hours_: float) -> str:
    return f"{hours_:.1f} h" if hours_ < 100 else f"{hours_:.0f} h"
