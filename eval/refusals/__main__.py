"""Print how well refusal detection agrees with labels: `python -m eval.refusals [FILE.jsonl ...]`."""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.refusals import harmful, keywords
from eval.refusals.measure import Detector, Partial, measure
from eval.refusals.responses import PARTS, LabelledResponse, load, part
from eval.refusals.styles import (
    BASELINES,
    NUM_CHARACTERS,
    STYLE_PARTS,
    UNSEEN,
    WITHHOLDING,
    agreement_of_passes,
    agreement_on_requests,
    believing,
    found_of,
    guarding,
    is_of,
    is_released,
    milliseconds,
    styled,
)
from protocol.errors import UserError
from protocol.stance import Extent, Kind, read_stance

_TORN = {Kind.PARTIAL, Kind.MIXED}


def detectors(partial: Partial) -> dict[str, Detector]:
    """Return the detectors by name; ours counts partial refusals as the labels do."""
    found = {Extent.REFUSAL, Extent.PARTIAL} if partial is Partial.REFUSAL else {Extent.REFUSAL}
    return {
        "protocol.stance": lambda answer: read_stance(answer).extent in found,
        "keywords (SafeGRPO)": keywords.safegrpo,
        "keywords (jailbreaks)": keywords.gcg,
        "prefixes (XSTest)": keywords.xstest,
    }


def table(parts: Mapping[str, Sequence[LabelledResponse]], partial: Partial) -> Table:
    """Return a row a part and detector."""
    made = Table(title=f"refusals, 95 % intervals; partial: {partial}", title_justify="left")
    for column in ("responses", "n", "detector", "precision", "recall", "F1"):
        made.add_column(column, justify="right" if column == "n" else "left", no_wrap=True)
    for name, responses in parts.items():
        for detector, detect in detectors(partial).items():
            found = measure(responses, detect, partial)
            made.add_row(name, str(found.n), detector, str(found.precision), str(found.recall), str(found.f1))
    return made


def harmful_table(parts: Mapping[str, Sequence[str]]) -> Table:
    """Return a row a part: how full refusals of harmful requests are read."""
    columns = ("responses", "n", "read as compliance", "as a refusal of a part", "as compliance by keywords (SafeGRPO)")
    made = _table("full refusals of harmful requests", *columns)
    for name, texts in parts.items():
        ours = harmful.missed(texts, lambda answer: read_stance(answer).extent)
        theirs = harmful.missed(texts, harmful.believed(keywords.safegrpo))
        made.add_row(name, str(ours.n), str(ours.complying), str(ours.partial), str(theirs.complying))
    return made


def kinds_table(name: str) -> Table:
    """Return a row a kind and detector of one of the parts by style."""
    responses = styled(name)
    made = _table(
        f"kinds of answers: {name}, {len({each.style for each in responses})} styles", "kind", "n", "detector"
    )
    for column in ("precision", "recall", "F1"):
        made.add_column(column, no_wrap=True)
    rows: list[tuple[str, set[Kind], str, Detector]] = [
        (str(kind), {kind}, "protocol.stance", is_of({kind})) for kind in Kind
    ]
    both = "full refusal or redirect"
    rows.append((both, WITHHOLDING, "protocol.stance", is_of(WITHHOLDING)))
    rows += [(both, WITHHOLDING, each, detect) for each, detect in BASELINES.items()]
    rows.append(("partial or mixed", _TORN, "protocol.stance", is_of(_TORN)))
    for kind, wanted, detector, detect in rows:
        found = found_of(responses, wanted, detect)
        num = str(found.true_positives + found.false_negatives)
        made.add_row(kind, num, detector, str(found.precision), str(found.recall), str(found.f1))
    return made


def guard_table(*names: str) -> Table:
    """Return a row a guard: what it releases, what it withholds, and the time of its detector."""
    responses = [each for name in names for each in styled(name)]
    made = _table(f"a guard without a judge: {', '.join(names)}", "guard")
    for column in ("handed over behind a refusing trace", "harmless, complying, withheld", "refusals withheld", "ms"):
        made.add_column(column, no_wrap=True)
    guards = {"eval.guard.answer": (is_released, read_stance)} | {
        each: (believing(detect), detect) for each, detect in BASELINES.items()
    }
    for guard, (releases, detect) in guards.items():
        found = guarding(responses, releases)
        cells = [
            f"{found.leak} of {found.num_handing}",
            f"{found.withheld} of {found.num_complying}",
            f"{found.refused} of {found.num_refusals}",
        ]
        made.add_row(guard, *cells, f"{milliseconds(detect, responses):.2f}")
    made.caption = f"ms: for {NUM_CHARACTERS} characters, median"
    return made


def _table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        made.add_column(column, justify="right" if column == "n" else "left", no_wrap=True)
    return made


def _passes(name: str) -> str:
    agreed, found = agreement_of_passes(styled(name))
    said = f"{name}: both passes of labelling agree on {agreed}, Cohen's kappa {found.value:.3f}"
    if on_requests := agreement_on_requests(styled(name)):
        said += f"; on requests {on_requests[0]}, kappa {on_requests[1].value:.3f}"
    return said


def _refusals_of_harm(parts: Mapping[str, Sequence[LabelledResponse]], *, is_shipped: bool) -> dict[str, list[str]]:
    if not is_shipped:
        return {name: harmful.refusals(responses) for name, responses in parts.items()}
    found = {name: harmful.of_file(name) for name in harmful.FILES}
    return found | {"all unseen styles": [text for name in UNSEEN for text in found[name]]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = ArgumentParser(prog="python -m eval.refusals", description="how well refusal detection agrees with labels")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="JSON Lines with text and label")
    parser.add_argument("--partial", type=Partial, choices=list(Partial), default=Partial.COMPLIANCE)
    options = parser.parse_args(arguments)
    try:
        parts = {str(path): load(path) for path in options.files} or {name: part(name) for name in PARTS}
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a module that is run speaks on its streams
        return 2
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table(parts, options.partial))
    console.print(harmful_table(_refusals_of_harm(parts, is_shipped=not options.files)))
    if options.files:
        return 0
    for name in STYLE_PARTS:
        console.print(kinds_table(name), guard_table(name), _passes(name), "")
    console.print(guard_table(*UNSEEN))
    return 0


if __name__ == "__main__":
    sys.exit(main())
