"""Writes the tables of attacks as text, and the page `eval/presets/README.md`."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.resources import files

from data.pocket.queries.kinds import KINDS
from eval.attacks.constant import CEILING, ConstantPolicy, best_constant
from eval.attacks.measure import MARGIN, AttackGaps, outcomes
from eval.attacks.registry import ATTACKS
from eval.presets import PRESETS

Row = Sequence[str]


def summary_rows(found: Sequence[AttackGaps]) -> list[Row]:
    """Return a header and a row for each attack: the smallest mean gap of any kind, with a mark if it is too small."""
    by_attack: dict[str, dict[str, AttackGaps]] = {name: {} for name in ATTACKS}
    for outcome in found:
        by_attack[outcome.attack][outcome.preset] = outcome
    head = ["attack", "what it does", *PRESETS, "n"]
    rows = [
        [name, ATTACKS[name].about, *(_cell(by_preset[preset]) for preset in PRESETS), str(by_preset["tritrace"].num)]
        for name, by_preset in by_attack.items()
    ]
    return [head, *rows]


def kind_rows(found: Sequence[AttackGaps], preset: str) -> list[Row]:
    """Return a header and a row for each attack: its mean gap by kind under one preset, with the number of queries."""
    rows = [
        [each.attack, *(f"{gap.mean:.2f} ({gap.num})" if (gap := each.gaps.get(kind)) else "–" for kind in KINDS)]
        for each in found
        if each.preset == preset
    ]
    return [["attack", *KINDS], *rows]


def fooled_rows(found: Sequence[AttackGaps]) -> list[Row]:
    """Return a header and a row for each preset: how many attacks it resists, and how many it pays like honesty."""
    rows = []
    for preset in PRESETS:
        worst = [each.worst for each in found if each.preset == preset]
        held = sum(value >= MARGIN for value in worst)
        even = sum(value <= _EVEN for value in worst)
        rows.append([preset, f"{held} of {len(worst)}", f"{len(worst) - held - even}", f"{even}"])
    return [["preset", f"held off by {MARGIN} or more", "by less", "paid as much as honesty, or more"], *rows]


def constant_rows(best: Mapping[str, tuple[ConstantPolicy, float]]) -> list[Row]:
    """Return a header and a row for each preset: its best constant policy, with its mean reward."""
    rows = [[preset, f"{mean:.2f}", policy.describe()] for preset, (policy, mean) in best.items()]
    return [["preset", "mean reward", "the best constant policy"], *rows]


def markdown(rows: Sequence[Row], *, numbers_from: int = 1) -> str:
    """Return rows as a Markdown table; the columns from `numbers_from` on are right-aligned."""
    head, *body = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    rule = ["---" if place < numbers_from else "---:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body)) + "\n"


def page() -> str:
    """Measure everything again and return the page."""
    found = outcomes()
    text = files("eval").joinpath("attacks", "page.md").read_text(encoding="utf-8")
    parts = {
        "presets": "\n".join(f"* `{name}`: {preset.about}" for name, preset in PRESETS.items()),
        "weights": markdown([["recipe key", "default"], *_weights()]),
        "fooled": markdown(fooled_rows(found)),
        "constant": markdown(constant_rows(best_constant())),
        "summary": markdown(summary_rows(found), numbers_from=2),
        "kinds": markdown(kind_rows(found, "tritrace")),
        "num_attacks": str(len(ATTACKS)),
        "margin": str(MARGIN),
        "ceiling": str(CEILING),
    }
    for name, value in parts.items():
        text = text.replace(f"{{{{ {name} }}}}", value.rstrip("\n"))
    return text


_EVEN = 0.005
"""A gap that is printed as 0.00 counts as zero."""


def _cell(outcome: AttackGaps) -> str:
    worst = f"{outcome.worst:.2f}"
    return worst if outcome.worst >= MARGIN else f"**{worst}** {outcome.worst_kind}"


def _weights() -> list[Row]:
    return [[f"`{each.name}`", f"{each.default:g}"] for preset in PRESETS.values() for each in fields(preset.weights)]
