"""One line judged by itself: is it a row, does it fit its plan, can its images be used?

Pure but for reading images and, once a process, the labels of `queries.jsonl`; so lines can be judged in any order and
in several processes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.checks.facts import Facts, Fault, ImageFact, RowFaultName
from data.checks.lines import Line
from data.checks.pictures import image_fact
from data.files.json_lines import RowsError, iterate_rows, parse_object, row_from_json
from data.pairs.on_policy import ON_POLICY
from data.pictures.images import ImageError
from data.rows import PreferencePair, Query, RolloutPrompt, Row, SFTRow, type_by_name
from data.splits import content_key
from protocol import Decision, Labels, Plan, Risk, SpecError, diagnose, system_prompt
from protocol.labels import LabelsError

SPLITS = ("train", "validation", "test")
_MAX_SHOWN = 200
"""Characters of a message: a row may quote itself."""


@dataclass(frozen=True, slots=True)
class RowJudge:
    """Judges the lines of a data folder."""

    root: Path
    """The folder that images are relative to, and may not leave."""
    queries: Path | None = None
    """The file with the queries' labels; None where there is no such file."""

    def __call__(self, lines: tuple[Line, ...]) -> list[Facts]:
        """Judge lines of any file in the folder."""
        return [self.judge(line) for line in lines]

    def judge(self, line: Line) -> Facts:
        """Judge one line."""
        if line.fault:
            return _unread(line, RowFaultName.UNREADABLE, line.fault)
        try:
            record = parse_object(line.content)
        except RowsError as error:
            return _unread(line, RowFaultName.UNREADABLE, str(error))
        kind = kind_of(record)
        try:
            row: Row = row_from_json(record, type_by_name[kind])
        except (RowsError, LabelsError) as error:
            return _unread(line, RowFaultName.NOT_A_ROW, str(error))
        return self._facts(line, kind, row)

    def _facts(self, line: Line, kind: str, row: Row) -> Facts:
        labels, faults = self._labels(row)
        faults += [*_split_faults(row, line.file), *_label_faults(labels)]
        images, unusable = self._images(row)
        plan = None
        if not isinstance(row, Query):
            try:
                plan = Plan.from_json(row.plan)
                faults += [*_prompt_faults(row, plan), *_response_faults(row, plan, labels)]
            except SpecError as error:
                faults.append(Fault(RowFaultName.PLAN, str(error)))
        return Facts(
            file=line.file,
            line=line.number,
            num_bytes=line.num_bytes,
            faults=tuple(Fault(each.name, _one_line(each.message)) for each in (*faults, *unusable)),
            kind=kind,
            id=row.id,
            query_id=row.id if isinstance(row, Query) else row.query_id,
            split=row.split,
            words=normalised(user_words(row)),
            images=images,
            content=_content(row, images),
            traits=tuple(_traits(row, plan, labels)),
            lengths=tuple(len(text) for text in responses(row)),
            corruption=row.corruption if isinstance(row, PreferencePair) else "",
        )

    def _labels(self, row: Row) -> tuple[Labels, list[Fault]]:
        if isinstance(row, Query | RolloutPrompt):
            return row.labels, []
        if self.queries is None:
            return Labels(), []
        known = labels_of(self.queries)
        if row.query_id in known:
            return Labels.from_json(json.loads(known[row.query_id])), []
        return Labels(), [Fault(RowFaultName.QUERY, f"{self.queries.name} has no query {row.query_id!r}")]

    def _images(self, row: Row) -> tuple[tuple[ImageFact, ...], list[Fault]]:
        images, faults = [], []
        for source in row.images:
            try:
                images.append(image_fact(source, self.root))
            except ImageError as error:
                faults.append(Fault(RowFaultName.IMAGE, str(error)))
        return tuple(images), faults


def kind_of(record: Mapping[str, Any]) -> str:
    """Return the kind of row that an object is, or tries to be, by the fields that only one kind has."""
    if "rejected" in record or "chosen" in record:
        return "preference"
    if "completion" in record:
        return "sft"
    return "rollout" if "plan" in record or "prompt" in record else "query"


def user_words(row: Row) -> str:
    """Return what the user says."""
    if isinstance(row, Query):
        return row.text
    return "\n".join(message["content"] for message in row.prompt if message["role"] == "user")


def responses(row: Row) -> tuple[str, ...]:
    """Return the responses of a row: the one to imitate, or chosen and rejected."""
    if isinstance(row, SFTRow):
        return (row.completion[0]["content"],)
    return (row.chosen[0]["content"], row.rejected[0]["content"]) if isinstance(row, PreferencePair) else ()


def normalised(text: str) -> str:
    """Return a text as duplicates are compared: lower case, letters and digits, blanks joined.

    >>> normalised("What's  THIS?")
    'what s this'
    """
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.lower()).split())


@lru_cache(maxsize=4)
def labels_of(path: Path) -> dict[str, str]:
    """Return the labels of every readable query as JSON text, which takes a fraction of the memory of the objects."""
    found: dict[str, str] = {}
    try:
        for query in iterate_rows(path, Query):
            found[query.id] = json.dumps(query.labels.to_json())
    except RowsError:
        pass  # each unreadable line is reported where it is judged
    return found


def _unread(line: Line, name: RowFaultName, reason: str) -> Facts:
    return Facts(line.file, line.number, line.num_bytes, (Fault(name, _one_line(reason)),))


def _one_line(message: str) -> str:
    joined = " ".join(message.split())
    return joined if len(joined) <= _MAX_SHOWN else f"{joined[: _MAX_SHOWN - 3]}..."


def _split_faults(row: Row, file: str) -> Iterator[Fault]:
    belongs = {"sft": "train", "dpo": "train", "grpo": "train", "validation": "validation", "test": "test"}
    expected = belongs.get(Path(file).stem)
    if row.split not in SPLITS:
        yield Fault(RowFaultName.SPLIT, f"split: expected one of {', '.join(SPLITS)}, found {row.split!r}")
    elif expected and row.split != expected:
        yield Fault(RowFaultName.SPLIT, f"a row of the {row.split} split in a file of the {expected} split")


def _label_faults(labels: Labels) -> Iterator[Fault]:
    risk, decision = labels.combined_risk, labels.decision
    if risk is not None and decision is not None and (risk is Risk.SAFE) != (decision is Decision.COMPLY):
        yield Fault(RowFaultName.LABELS, f"labels: the decision is {decision} although the combined risk is {risk}")
    if risk is Risk.UNSAFE and labels.category == "none":
        yield Fault(RowFaultName.LABELS, "labels: the combined risk is unsafe and the category is none")


def _prompt_faults(row: SFTRow | PreferencePair | RolloutPrompt, plan: Plan) -> Iterator[Fault]:
    system = "\n".join(message["content"] for message in row.prompt if message["role"] == "system")
    if system not in (system_prompt(plan, "compact"), system_prompt(plan, "full")):
        yield Fault(
            RowFaultName.PLAN, "the system message is not what the plan says; build the prompt again from the plan"
        )
    if not user_words(row).strip() and not row.images:
        yield Fault(RowFaultName.PLAN, "the prompt has neither words nor an image of the user")


def _response_faults(row: Row, plan: Plan, labels: Labels) -> Iterator[Fault]:
    if isinstance(row, SFTRow | PreferencePair):
        is_sampled = isinstance(row, PreferencePair) and row.corruption == ON_POLICY
        for found in diagnose(responses(row)[0], plan, labels).diagnostics:
            if found.is_fatal or not is_sampled:
                place = f"{'completion' if isinstance(row, SFTRow) else 'chosen'} {found.line}:{found.column}"
                yield Fault(RowFaultName.RESPONSE, f"{place}: {found.code} {found.message}")
    if isinstance(row, PreferencePair):
        yield from _rejected_faults(row, plan, labels)


def _rejected_faults(row: PreferencePair, plan: Plan, labels: Labels) -> Iterator[Fault]:
    chosen, rejected = responses(row)
    if chosen == rejected:
        yield Fault(RowFaultName.RESPONSE, "chosen and rejected are the same")
    caused = {found.code for found in diagnose(rejected, plan, labels).diagnostics}
    expected = set(row.expected_codes)
    if labels == Labels():  # without labels nothing can be said about evidence
        caused, expected = ({code for code in codes if code[0] != "E"} for codes in (caused, expected))
    if caused != expected:
        told = f"expected {' '.join(sorted(expected)) or 'none'}, found {' '.join(sorted(caused)) or 'none'}"
        yield Fault(RowFaultName.RESPONSE, f"rejected: the codes of {row.corruption!r} are {told}")


def _content(row: Row, images: tuple[ImageFact, ...]) -> bytes:
    pictures = [image.digest.hex() for image in images] or list(row.images)
    plan = () if isinstance(row, Query) else (row.plan,)
    return bytes.fromhex(content_key(normalised(user_words(row)), *pictures, *plan, *responses(row))[:16])


def _traits(row: Row, plan: Plan | None, labels: Labels) -> Iterator[tuple[str, str]]:
    yield "kind", row.kind
    risks = (labels.image_risk, labels.text_risk, labels.combined_risk)
    if all(risk is not None for risk in risks):
        yield "quadrant", "picture {}, words {}, together {}".format(*risks)
    if labels.category is not None:
        yield "category", labels.category
    if labels.decision is not None:
        yield "decision", labels.decision
    if plan is not None:
        yield "persona", plan.persona.name
        yield "topology", plan.graph.topology
        for tool in plan.tools:
            yield "tool", tool.name
    if isinstance(row, PreferencePair):
        yield "corruption", row.corruption
    for text in responses(row)[:1]:
        low = len(text) // 100 * 100
        yield "length", f"{low:,} to {low + 99:,} characters"
