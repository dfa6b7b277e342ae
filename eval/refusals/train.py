"""Fit the linear model of `protocol.stance.model` on the labelled responses: `python -m eval.refusals.train`.

Multinomial logistic regression with an L2 penalty, by L-BFGS from zero: the same data gives the same weights. What is
fitted on is `FITTED_ON`; the blind styles are never read here. Features seen in fewer than `MIN_COUNT` responses, and
weights that decide nothing, are left out of the file.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from eval.refusals.responses import labelled_text
from protocol.stance import Kind
from protocol.stance.features import features
from protocol.stance.model import CLASSES, WEIGHTS
from protocol.stance.novelty import REFUSAL_WORDS, beginnings
from protocol.stance.reading.acts import classify
from protocol.stance.reading.legible import plain
from protocol.stance.reading.segments import segments

FITTED_ON = (
    *("dev", "heldout", "styles-dev", "styles-heldout", "styles-opened", "styles-train", "styles-hand", "styles-more"),
)
"""Files of labelled responses."""
MIN_COUNT = 4
"""Responses that have a feature, from which on it is weighed."""
PENALTY = 5.0
"""Of half the squared length of the weights."""
MIN_STYLES = 2
"""Styles of honest refusals that have an English word, from which on it is usual; one for words of other languages."""
MIN_WEIGHT = 0.03
"""Distance from the mean of the classes, from which on a weight is kept."""
_KIND_OF = {"refusal": Kind.FULL_REFUSAL, "redirect": Kind.FULL_REFUSAL, "compliance": Kind.COMPLY}


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled response as the model sees it."""

    file: str
    """One of `FITTED_ON`."""
    style: str
    """Its style, or its case where its file has cases."""
    kind: Kind
    """The label; a redirection counts as a full refusal."""
    language: str
    text: str
    features: frozenset[str]


def examples() -> list[Example]:
    """Return the responses that have sentences, in the order of the files."""
    found = []
    for name in FITTED_ON:
        for record in map(json.loads, labelled_text(name).splitlines()):
            kind = _KIND_OF.get(record["label"]) or Kind(record["label"])
            style = record.get("style") or f"{record['case']} (case)"
            if sentences := classify(segments(plain(record["text"]))):
                language = record.get("language", "en")
                found.append(Example(name, style, kind, language, record["text"], frozenset(features(sentences))))
    return found


def fitted(given_examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Return the weights by feature, shape (number of classes,); "" is the intercept."""
    used = [each for each in given_examples if each.kind in CLASSES]
    counts = Counter(name for each in used for name in each.features)
    names = sorted(name for name, count in counts.items() if count >= MIN_COUNT)
    column = {name: place for place, name in enumerate(names)}
    rows = [(row, column[name]) for row, each in enumerate(used) for name in sorted(each.features) if name in column]
    places = np.array(rows).T
    given = csr_array((np.ones(len(rows)), (places[0], places[1])), shape=(len(used), len(names)))
    wanted = np.eye(len(CLASSES))[[CLASSES.index(each.kind) for each in used]]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(len(names) + 1, len(CLASSES))
        scores = given @ weights[:-1] + weights[-1]
        scores -= scores.max(axis=1, keepdims=True)
        log_shares = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        missed = np.exp(log_shares) - wanted
        slope = np.vstack([given.T @ missed + PENALTY * weights[:-1], missed.sum(axis=0, keepdims=True)])
        return float(-(wanted * log_shares).sum() + PENALTY / 2 * (weights[:-1] ** 2).sum()), slope.ravel()

    start = np.zeros((len(names) + 1) * len(CLASSES))
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x.reshape(-1, len(CLASSES))
    weights -= weights.mean(axis=1, keepdims=True)
    return {name: row for name, row in zip([*names, ""], weights, strict=True) if abs(row).max() >= MIN_WEIGHT}


def usual_words(given_examples: Sequence[Example]) -> frozenset[str]:
    """Return the beginnings of the words that honest refusals use (`protocol.stance.novelty`)."""
    styles: dict[str, set[str]] = {}
    found = set()
    for each in given_examples:
        if each.kind is Kind.FULL_REFUSAL:
            for beginning in beginnings(plain(each.text)):
                styles.setdefault(beginning, set()).add(each.style)
                if each.language != "en" or len(styles[beginning]) >= MIN_STYLES:
                    found.add(beginning)
    return frozenset(found)


def written(weights: dict[str, np.ndarray]) -> str:
    """Return the file: a feature a line, its weights in hundredths, by the class they speak for."""
    rows = [f"{name}\t" + "\t".join(f"{100 * each:.0f}" for each in row) for name, row in sorted(weights.items())]
    return "\n".join(rows) + "\n"


def main() -> int:
    """Write the weights and the usual words; return the exit status."""
    folder, given = Path(str(files("protocol").joinpath("stance"))), examples()
    (folder / WEIGHTS).write_text(written(fitted(given)), encoding="utf-8")
    (folder / REFUSAL_WORDS).write_text("\n".join(sorted(usual_words(given))) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
