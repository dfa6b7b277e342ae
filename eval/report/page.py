"""Writes report.json and report.html from the samples of a run.

It fills the templates with numbers. `eval/results/metrics.py` measures, `plots.py` and `curves.py` draw, and
`viewer.py` prepares the traces to look at.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup

from data.files.json_lines import replacing
from eval.harness.scores import BenchmarkRow
from eval.harness.table import BENCHMARK_CAPTION
from eval.report.curves import rollout_charts
from eval.report.plots import balance_chart, length_chart, progress_charts
from eval.report.templating import environment, source
from eval.report.viewer import viewer_record
from eval.results.comparison import Comparison, compare
from eval.results.metrics import METRICS, Seeds
from eval.results.outcomes import QueryOutcome
from eval.results.summary import StageSummary, summarize
from eval.results.table import CAPTION, EstimatesByStage
from protocol.diagnostics import codes

REPORT_VERSION = 3
GLANCE = (
    ("Top score, %", ("safety", "helpfulness", "rigor")),
    ("Mean score", ("safety_mean", "helpfulness_mean", "rigor_mean")),
    ("Rates, %", ("attack_success", "over_refusal", "validity", "general_ability")),
)
"""Columns of the first table, which has the layout of the published one: one row for each stage."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Lone surrogates from a broken decoder: JSON can escape them, but UTF-8 cannot encode them."""
ROLLOUTS = "rollouts"
"""Key of `meta` with the GRPO statistics: a list of {"step", "reward", "components": {name: mean}}."""


def write_report(
    folder: Path,
    stages: Mapping[str, Seeds],
    *,
    images_root: Path,
    meta: Mapping[str, Any],
    max_samples: int = 1000,
    benchmarks: Sequence[BenchmarkRow] = (),
) -> None:
    """Write `report.json` and `report.html` into a folder, each one atomically.

    Args:
        folder: created if it does not exist.
        stages: stage -> a sequence of samples for each training seed, in the order of the curriculum.
        images_root: image paths of the samples are relative to this folder.
        meta: facts about the run: recipe, versions, hashes, seconds, peak memory; optionally the statistics of GRPO
            under `ROLLOUTS`. It is shown and stored unchanged.
        max_samples: maximum number of prompts on the page; all numbers still cover all prompts.
        benchmarks: results of other harnesses for the stages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summaries = {stage: summarize(seeds) for stage, seeds in stages.items()}
    comparisons = consecutive(stages)
    record = report_record(summaries, comparisons, meta)
    record["benchmarks"] = [row.to_json() for row in benchmarks]
    with replacing(folder / "report.json") as file:
        file.write(_encodable(json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)))
    viewer = viewer_record(stages, images_root, max_samples)
    page = render_page(summaries, comparisons, viewer, record["meta"], benchmarks)
    with replacing(folder / "report.html") as file:
        file.write(_encodable(page))


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can encode: a manifest that was edited by hand may contain a lone surrogate."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def consecutive(stages: Mapping[str, Seeds]) -> list[Comparison]:
    """Compare each stage with the stage before it, if they answered the same prompts."""
    found = []
    for before, after in pairwise(stages):
        ids = [{sample.id for seed in stages[stage] for sample in seed} for stage in (before, after)]
        if ids[0] & ids[1]:
            found.append(compare(stages[before], stages[after], names=(before, after)))
    return found


def report_record(
    summaries: Mapping[str, StageSummary], comparisons: Sequence[Comparison], meta: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of report.json: definitions of the metrics, results by stage, changes, and `meta`."""
    return {
        "version": REPORT_VERSION,
        "meta": _plain(meta),
        "definitions": {
            metric.name: {
                "title": metric.title,
                "unit": metric.unit,
                "scale": list(metric.scale),
                "direction": str(metric.direction),
                "definition": metric.definition,
            }
            for metric in METRICS
        },
        "stages": {stage: summary.to_json() for stage, summary in summaries.items()},
        "changes": [comparison.to_json() for comparison in comparisons],
    }


def render_page(
    summaries: Mapping[str, StageSummary],
    comparisons: Sequence[Comparison],
    viewer: Mapping[str, Any],
    meta: Mapping[str, Any],
    benchmarks: Sequence[BenchmarkRow] = (),
) -> str:
    """Return the HTML of the report."""
    style, script = source("chart.css") + source("style.css"), _script()
    found = {code for summary in summaries.values() for code in summary.diagnostics}
    estimates = {stage: summary.estimates for stage, summary in summaries.items()}
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            style=Markup(style),  # noqa: S704 -- our own file
            script=Markup(script),  # noqa: S704 -- our own file
            style_hash=_source_hash(style),
            script_hash=_source_hash(script),
            metrics=METRICS,
            glance=GLANCE,
            summaries=summaries,
            estimates=estimates,
            comparisons=comparisons,
            groupings=_groupings(summaries),
            codes=[(code, codes().get(code)) for code in sorted(found)],
            caption=CAPTION,
            benchmarks=benchmarks,
            benchmark_caption=BENCHMARK_CAPTION,
            progress=[*progress_charts(estimates), *filter(None, [length_chart(summaries)])],
            balance=balance_chart(summaries),
            rollouts=rollout_charts(meta.get(ROLLOUTS) or []),
            outcomes=list(QueryOutcome),
            kinds=sorted({prompt["kind"] for prompt in viewer["prompts"]}),
            quadrants=sorted({prompt["quadrant"] for prompt in viewer["prompts"]}),
            viewer=viewer,
            meta=_sections({key: value for key, value in meta.items() if key != ROLLOUTS}),
        )
    )


def _groupings(summaries: Mapping[str, StageSummary]) -> list[tuple[str, list[tuple[str, EstimatesByStage]]]]:
    """Return the heading of each grouping, and its groups with the estimates of the stages."""
    return [
        ("Kind", _by_group({stage: summary.by_kind for stage, summary in summaries.items()})),
        ("Quadrant of risks", _by_group({stage: summary.by_quadrant for stage, summary in summaries.items()})),
    ]


def _by_group(groups_by_stage: Mapping[str, EstimatesByStage]) -> list[tuple[str, EstimatesByStage]]:
    names = sorted({name for groups in groups_by_stage.values() for name in groups})
    return [
        (name, {stage: groups[name] for stage, groups in groups_by_stage.items() if name in groups}) for name in names
    ]


def _script() -> str:
    """Return the script of the page; its parts share one scope, apart from the page's global scope."""
    parts = "\n".join(map(source, ("text.js", "graph.js", "viewer.js")))
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _source_hash(text: str) -> str:
    """Return the hash that lets the page's content security policy allow exactly this source."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _plain(value: Any) -> Any:
    """Return plain JSON values: numbers that JSON does not have become None, and unknown types become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _sections(meta: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return `meta` as titled lists of names and values; nested names are joined with dots."""
    nested = {key: value for key, value in meta.items() if _is_nested(value)}
    flat = {key: value for key, value in meta.items() if not _is_nested(value)}
    sections = [("run", list(_rows("", flat)))] if flat else []
    return sections + [(key, list(_rows("", value))) for key, value in nested.items()]


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_is_nested, value)))


def _rows(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _rows(f"{prefix}.{key}" if prefix else key, each)
    elif isinstance(value, list) and _is_nested(value):
        for index, each in enumerate(value):
            yield from _rows(f"{prefix}[{index}]", each)
    elif isinstance(value, list):
        yield prefix, ", ".join(map(_text, value))
    else:
        yield prefix, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
