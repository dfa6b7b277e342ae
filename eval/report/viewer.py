"""Prepares the data of the report's trace viewer: an entry for each prompt with all stages, as JSON values.

`templates/viewer.js` decides what to show. Names of scores, plans and pictures are stored once and referenced by index.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from eval.report.layout import graph_layout
from eval.report.pictures import Album
from eval.results.metrics import Seeds
from eval.results.outcomes import outcome, quadrant
from eval.results.samples import Sample
from eval.results.table import stage_title
from protocol.labels import Labels
from protocol.plans.plan import Plan
from protocol.response.reader import read
from protocol.response.reading import Reading

MAX_CHARACTERS = 20_000
"""Maximum characters of a response on the page; samples.jsonl has the whole response."""
MAX_DIAGNOSTICS = 50
"""Maximum diagnostics of a response on the page."""
MAX_CALLS = 100
_PATH_CODES = {"T201", "G301", "G302", "G305", "G306"}
"""Codes for a step that the plan does not allow. G304 is not one of these: it is a fault of the end."""
_UNFINISHED = "G304"


def viewer_record(stages: Mapping[str, Seeds], images_root: Path, max_samples: int) -> dict[str, Any]:
    """Return the prompts to show, with the first seed of each stage, as a JSON object.

    If there are more than `max_samples` prompts, every kind gets an equal share: its first prompts in order.

    Args:
        stages: samples by stage and seed.
        images_root: image paths of the samples are relative to this folder.
        max_samples: maximum number of prompts.
    """
    by_prompt: dict[str, dict[str, Sample]] = defaultdict(dict)
    for stage, seeds in stages.items():
        for sample in chain(*seeds[:1]):
            by_prompt[sample.id][stage] = sample
    chosen = list(islice(_evenly_by_kind(by_prompt), max_samples))
    firsts = [_first(responses) for responses in chosen]
    album = Album(((name, each.picture_ground) for each in firsts for name in each.images), images_root)
    plans = list(dict.fromkeys(each.plan for each in firsts))
    scores = list(dict.fromkeys(name for responses in chosen for each in responses.values() for name in each.scores))
    return {
        "stages": [{"name": stage, "title": stage_title(stage)} for stage in stages],
        "num_prompts": len(by_prompt),
        "scores": scores,
        "pictures": album.uris,
        "plans": [_plan_entry(Plan.from_json(plan)) for plan in plans],
        "prompts": [_prompt_entry(responses, list(stages), album, plans, scores) for responses in chosen],
    }


def _evenly_by_kind(by_prompt: Mapping[str, Mapping[str, Sample]]) -> Iterator[Mapping[str, Sample]]:
    """Yield prompts, one of each kind in turn."""
    groups: dict[str, list[Mapping[str, Sample]]] = defaultdict(list)
    for responses in by_prompt.values():
        groups[_first(responses).kind].append(responses)
    rounds: Iterable[tuple[Mapping[str, Sample] | None, ...]] = zip_longest(*(groups[kind] for kind in sorted(groups)))
    return (responses for turn in rounds for responses in turn if responses is not None)


def _first(responses: Mapping[str, Sample]) -> Sample:
    return next(iter(responses.values()))


def _plan_entry(plan: Plan) -> dict[str, Any]:
    return {"persona": plan.persona.name, "topology": plan.graph.topology, "graph": graph_layout(plan)}


def _prompt_entry(
    responses: Mapping[str, Sample], stages: list[str], album: Album, plans: list[str], scores: list[str]
) -> dict[str, Any]:
    sample = _first(responses)
    return {
        "id": sample.id,
        "kind": sample.kind,
        "quadrant": quadrant(sample.labels),
        "query": sample.query,
        "pictures": [album.place(name, sample.picture_ground) for name in sample.images],
        "alt": _alternative_text(sample.labels),
        "plan": plans.index(sample.plan),
        "labels": _expectation(sample.labels),
        "responses": [_response_entry(responses[stage], scores) if stage in responses else None for stage in stages],
    }


def _response_entry(sample: Sample, scores: list[str]) -> dict[str, Any]:
    reading = read(sample.response)
    starts = [0, *(index + 1 for index, letter in enumerate(sample.response) if letter == "\n")]
    return {
        "text": sample.response[:MAX_CHARACTERS],
        "length": len(sample.response),
        "outcome": outcome(sample),
        "scores": [sample.scores.get(name) for name in scores],
        "unscored": sample.unscored,
        "diagnostics": [_diagnostic_entry(each) for each in sample.diagnostics[:MAX_DIAGNOSTICS]],
        "num_diagnostics": len(sample.diagnostics),
        "calls": _call_entries(reading, _path_faults(sample), starts),
        "unfinished": any(each["code"] == _UNFINISHED for each in sample.diagnostics),
        "num_tokens": sample.num_tokens,
        "is_truncated": sample.is_truncated,
    }


def _diagnostic_entry(found: Mapping[str, Any]) -> list[Any]:
    return [found[name] for name in ("code", "line", "column", "message", "expected", "hint")]


def _path_faults(sample: Sample) -> dict[int, str]:
    """Return the line of each call with a wrong step -> the code of its diagnostic."""
    return {each["line"]: each["code"] for each in sample.diagnostics if each["code"] in _PATH_CODES}


def _call_entries(reading: Reading, fault_by_line: Mapping[int, str], starts: list[int]) -> list[list[Any]]:
    """Return each call as a list: tool, line, code of a forbidden step or "", and key-value pairs as written."""
    entries: list[list[Any]] = []
    line = 0
    for call in reading.calls[:MAX_CALLS]:
        while line < len(starts) and starts[line] <= call.start:
            line += 1
        pairs = [[pair.key, pair.literal.text] for pair in call.pairs]
        entries.append([call.name, line, fault_by_line.get(line, ""), pairs])
    return entries


def _alternative_text(labels: Labels) -> str:
    seen = [*(labels.objects or ()), *(f"the words “{text}”" for text in labels.texts or ())]
    return f"Picture with {', '.join(seen)}" if seen else "Picture of the query"


def _expectation(labels: Labels) -> dict[str, str]:
    """Return the labels of a query in words."""
    known = {
        "picture": labels.image_risk,
        "words": labels.text_risk,
        "together": labels.combined_risk,
        "harm": labels.category if labels.category != "none" else None,
        "expected": labels.decision,
    }
    return {name: str(value) for name, value in known.items() if value is not None}
