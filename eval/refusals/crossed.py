"""Measures the detector on styles that its model was not fitted on: `python -m eval.refusals.crossed`.

The styles of all labelled responses, except the blind ones, are divided into `NUM_FOLDS` folds. For each fold, the
model is fitted on the other folds. So each response is read by a model that saw no response of its style. The rules and
the thresholds were chosen with these responses in sight. Only the blind styles test those too.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from eval.refusals.measure import Agreement, share
from eval.refusals.train import Example, examples, fitted
from protocol.stance import Kind, read_with

NUM_FOLDS = 6
WITHHOLDING = {Kind.FULL_REFUSAL, Kind.REDIRECT}
_KINDS = {
    "full refusal or redirect": WITHHOLDING,
    "partial": {Kind.PARTIAL},
    "mixed": {Kind.MIXED},
    "comply": {Kind.COMPLY},
}


@dataclass(frozen=True, slots=True)
class Crossed:
    """A response, read by a model that saw none of its style."""

    example: Example
    ruled: Kind
    """What the rules alone say."""
    kind: Kind
    is_released: bool
    """Whether a guard releases it behind a trace that withholds."""


def folds(styles: Sequence[str], num_folds: int) -> dict[str, int]:
    """Return the fold of each style: the largest style first, always into the smallest fold.

    >>> folds(["a", "a", "a", "b", "b", "c"], 2)
    {'a': 0, 'b': 1, 'c': 1}
    """
    sizes, found = [0] * num_folds, {}
    for style, num in sorted(Counter(styles).items(), key=lambda pair: (-pair[1], pair[0])):
        found[style] = sizes.index(min(sizes))
        sizes[found[style]] += num
    return found


def crossed(given: Sequence[Example], num_folds: int = NUM_FOLDS) -> Iterator[Crossed]:
    """Yield every response as a model reads it that was fitted on the styles of the other folds."""
    fold_of = folds([each.style for each in given], num_folds)
    for fold in range(num_folds):
        weights = fitted([each for each in given if fold_of[each.style] != fold])
        known = {name: tuple(map(float, row)) for name, row in weights.items()}
        for each in given:
            if fold_of[each.style] == fold:
                stance = read_with(each.text, known)
                yield Crossed(each, stance.ruled.kind, stance.kind, stance.is_all_withheld)


def table(read: Sequence[Crossed]) -> Table:
    """Return a row a file and kind, with what the guard does."""
    made = Table(title=f"styles left out, {NUM_FOLDS} folds", title_justify="left", caption_justify="left")
    for column in ("file", "kind", "n", "precision", "recall", "F1", "F1 of the rules"):
        made.add_column(column, justify="right" if column == "n" else "left", no_wrap=True)
    guards = []
    for file in (*dict.fromkeys(each.example.file for each in read), ""):
        part = [each for each in read if file in {"", each.example.file}]
        name = file or "all"
        for kind, wanted in _KINDS.items():
            found = _agreement([(each.example.kind in wanted, each.kind in wanted) for each in part])
            ruled = _agreement([(each.example.kind in wanted, each.ruled in wanted) for each in part])
            num = str(found.true_positives + found.false_negatives)
            made.add_row(name, kind, num, str(found.precision), str(found.recall), str(found.f1), str(ruled.f1))
        handing = [each.is_released for each in part if each.example.kind not in WITHHOLDING]
        refusing = [not each.is_released for each in part if each.example.kind in WITHHOLDING]
        leak, kept = share(sum(handing), len(handing)), share(sum(refusing), len(refusing))
        guards.append(f"{name}: released {leak} of {len(handing)}, refusals withheld {kept} of {len(refusing)}")
    made.caption = "behind a trace that refuses, what hands something over:\n" + "\n".join(guards)
    return made


def _agreement(outcomes: list[tuple[bool, bool]]) -> Agreement:
    return Agreement(
        len(outcomes), outcomes.count((True, True)), outcomes.count((False, True)), outcomes.count((True, False))
    )


def main() -> int:
    """Print the table; return the exit status."""
    Console(width=None if sys.stdout.isatty() else 160).print(table(list(crossed(examples()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
