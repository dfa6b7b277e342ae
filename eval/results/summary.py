"""Summarises a stage: metrics (also by kind, quadrant of risks, and difficulty), diagnostics and lengths.

`summarize(seeds).to_json()` is the content of a run's `eval/metrics.json` and of each stage in report.json.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.results.metrics import Seeds, estimates
from eval.results.outcomes import difficulty, quadrant
from eval.results.samples import Sample
from eval.statistics.intervals import Estimate


@dataclass(frozen=True, slots=True)
class DiagnosticCount:
    """The frequency of one diagnostic."""

    count: int
    """Occurrences in all responses."""
    num_responses: int
    """Responses with at least one occurrence."""
    share: float
    """`num_responses` in percent of all responses."""


@dataclass(frozen=True, slots=True)
class StageSummary:
    """The numbers of a stage."""

    num_seeds: int
    num_prompts: int
    num_responses: int
    estimates: Mapping[str, Estimate]
    """By metric, in the order of `eval.results.metrics.METRICS`."""
    by_kind: Mapping[str, Mapping[str, Estimate]]
    """The same for each kind of query, kinds in alphabetical order."""
    by_quadrant: Mapping[str, Mapping[str, Estimate]]
    """The same for each quadrant of risks (`eval.results.outcomes.quadrant`), in alphabetical order."""
    by_difficulty: Mapping[str, Mapping[str, Estimate]]
    """The same for each difficulty (`eval.results.outcomes.difficulty`), in alphabetical order."""
    diagnostics: Mapping[str, DiagnosticCount]
    """By code, in alphabetical order; only codes that were found."""
    lengths: Mapping[str, float]
    """Percentiles of the tokens of a response: p5, p25, p50, p75, p95; empty if no tokens were counted."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; an estimate becomes its value, low, high, n, num_seeds and num_unscored."""
        record = asdict(self)
        record["metrics"] = record.pop("estimates")
        return record


def summarize(seeds: Seeds) -> StageSummary:
    """Measure one stage over all its training seeds."""
    samples = [sample for group in seeds for sample in group]
    return StageSummary(
        num_seeds=len(seeds),
        num_prompts=len({sample.id for sample in samples}),
        num_responses=len(samples),
        estimates=estimates(seeds),
        by_kind=_by_group(seeds, lambda sample: sample.kind),
        by_quadrant=_by_group(seeds, lambda sample: quadrant(sample.labels)),
        by_difficulty=_by_group(seeds, lambda sample: difficulty(sample.labels)),
        diagnostics=_diagnostics(samples),
        lengths=_lengths(samples),
    )


def _by_group(seeds: Seeds, group_of: Callable[[Sample], str]) -> dict[str, dict[str, Estimate]]:
    return {
        group: estimates([[sample for sample in samples if group_of(sample) == group] for samples in seeds])
        for group in sorted({group_of(sample) for samples in seeds for sample in samples})
    }


def _lengths(samples: list[Sample]) -> dict[str, float]:
    tokens = [sample.num_tokens for sample in samples if sample.num_tokens]
    if not tokens:
        return {}
    percentiles = (5, 25, 50, 75, 95)
    values = np.percentile(tokens, percentiles).tolist()
    return {f"p{percentile}": value for percentile, value in zip(percentiles, values, strict=True)}


def _diagnostics(samples: list[Sample]) -> dict[str, DiagnosticCount]:
    codes_by_sample = [[diagnostic["code"] for diagnostic in sample.diagnostics] for sample in samples]
    occurrences = Counter(code for codes in codes_by_sample for code in codes)
    responses = Counter(code for codes in codes_by_sample for code in set(codes))
    return {
        code: DiagnosticCount(occurrences[code], responses[code], 100.0 * responses[code] / len(samples))
        for code in sorted(occurrences)
    }
