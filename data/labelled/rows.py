"""The files of a data folder from labelled queries: what each stage trains on, and the held-out prompts.

* queries.jsonl: given, with its images/
* sft.jsonl: demonstrations, by templates here, or by a teacher before
* dpo.jsonl, grpo.jsonl: of the same queries, because one's own set is seldom large enough to be divided
* validation.jsonl, test.jsonl: prompts of the held-out queries
* stages.rejected.jsonl: queries that became no row, with the reason
* stages.json: counts
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

from data.building.example_rows import corrupted_pair, demonstration
from data.corruptions import Example
from data.files.json_lines import read_rows, replacing, write_rows
from data.files.locks import held
from data.labelled.completion import SetAsideError
from data.labelled.responses import NO_ANSWER, demonstrate, example_of
from data.pairs.negatives import LengthLedger, balanced
from data.prompts import rollout_prompt
from data.rows import PreferencePair, Provenance, Query, RolloutPrompt, SFTRow
from protocol import Decision, Plan, Risk
from protocol.errors import UserError
from protocol.plans.prompt import Style
from toolkit.catalogue import fingerprint
from toolkit.planner import Planner

BUILDER = "data.labelled 1"
UNKNOWN = Provenance("unknown", "unknown", BUILDER)
"""Of a query that does not say where it is from."""
HELD_OUT = ("validation", "test")


@dataclass(slots=True)
class Report:
    """What became of the queries."""

    rows: dict[str, int] = field(default_factory=dict)
    """File -> rows."""
    assumed: Counter[str] = field(default_factory=Counter)
    """What no label says and a demonstration states, such as "text_risk=safe" -> how often."""
    complying: int | None = None
    """Demonstrations that comply; None if a teacher wrote them."""
    own_answers: int = 0
    """Demonstrations that end with the set's own answer; the others withhold in fixed words."""
    set_aside: Counter[str] = field(default_factory=Counter)
    """Reason -> queries that became no demonstration, or no prompt."""

    def lines(self) -> Iterator[str]:
        """Yield what a user should know, a line each."""
        yield ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        if self.assumed:
            yield "assumed in demonstrations: " + ", ".join(f"{what} {n:,}" for what, n in self.assumed.most_common())
        for reason, count in self.set_aside.most_common():
            yield f"set aside: {count:,} x {reason}"
        if self.complying == 0:
            yield "every demonstration is a refusal: a policy that learns from them refuses everything"

    @property
    def lacks_answers(self) -> bool:
        """Whether no demonstration complies, and some would with an answer."""
        return self.complying == 0 and any(reason.endswith(NO_ANSWER) for reason in self.set_aside)


@dataclass(frozen=True, slots=True)
class Maker:
    """How rows are made."""

    planner: Planner
    style: Style = "compact"
    pairs_per_query: int = 2
    seed: int = 0


def make_stages(folder: Path, maker: Maker, *, is_taught: bool) -> Report:
    """Write the rows of all stages beside a folder's `queries.jsonl`, and return what became of the queries.

    The same call gives the same bytes; files of an earlier call are replaced.

    Args:
        folder: with `queries.jsonl`.
        maker: how.
        is_taught: `sft.jsonl` is a teacher's and stays; else it is made of templates.

    Raises:
        UserError: files are missing or cannot be read, no query is held out, or no row can be made.
        LockedError: another process makes rows there.
    """
    with held(folder / "sft.jsonl"):
        queries = read_rows(folder / "queries.jsonl", Query)
        report, rejects = Report(), _Rejects()
        train = [query for query in queries if query.split == "train"]
        prompts = {name: _prompts(queries, name, maker, rejects) for name in HELD_OUT}
        if not any(prompts.values()):
            raise UserError(f"{folder}/queries.jsonl: {_nothing_held_out(queries)}")
        examples = _taught(folder, train) if is_taught else _templates(train, maker, report, rejects)
        if not examples:
            raise UserError(f"{folder}/queries.jsonl: no demonstration could be made\n" + "\n".join(rejects.lines()))
        if not is_taught:
            rows = [demonstration(example, maker.style, UNKNOWN) for example in examples]
            report.rows["sft"] = write_rows(folder / "sft.jsonl", rows)
        report.rows["dpo"] = write_rows(folder / "dpo.jsonl", _pairs(examples, maker))
        judged = _interleaved(_prompts(train, "train", maker, rejects))
        report.rows["grpo"] = write_rows(folder / "grpo.jsonl", judged)
        for name, held_out in prompts.items():
            if held_out:
                report.rows[name] = write_rows(folder / f"{name}.jsonl", held_out)
        report.set_aside = rejects.reasons
        _write_report(folder, report, rejects, maker)
    return report


def _nothing_held_out(queries: Sequence[Query]) -> str:
    """Say why no checkpoint could be evaluated, and which command changes that."""
    label = "`tritrace data label FOLDER --judge-url URL --judge-model NAME` asks a judge for labels"
    if all(query.labels.combined_risk is None for query in queries):
        return f"none of {len(queries):,} queries says combined_risk: nothing could be demonstrated or judged; {label}"
    if any(query.split in HELD_OUT for query in queries):
        return f"no query that is held out says combined_risk, so that nothing could be evaluated; {label}"
    return (
        f"none of {len(queries):,} queries is held out (split validation or test), so that nothing could be evaluated; "
        "delete the folder and read the data anew, with a larger --hold-out, such as 0.3"
    )


@dataclass(slots=True)
class _Rejects:
    """Queries that became no row."""

    found: list[Mapping[str, Any]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, query: Query, file: str, reason: str) -> None:
        self.found.append({"query_id": query.id, "kind": query.kind, "file": file, "reason": reason})
        self.reasons[f"{file}: {reason}"] += 1

    def lines(self) -> Iterator[str]:
        yield from (f"{count:,} x {reason}" for reason, count in self.reasons.most_common())


def _templates(queries: Iterable[Query], maker: Maker, report: Report, rejects: _Rejects) -> list[Example]:
    examples = []
    report.complying = 0
    for query in queries:
        try:
            found = demonstrate(query, maker.planner)
        except SetAsideError as error:
            rejects.add(query, "sft", str(error))
            continue
        report.assumed.update(found.assumed)
        report.own_answers += found.has_own_answer
        report.complying += found.example.query.labels.decision is Decision.COMPLY
        examples.append(found.example)
    return examples


def _taught(folder: Path, queries: Iterable[Query]) -> list[Example]:
    """Return what pairs are made of where a teacher wrote the rows.

    Raises:
        UserError: there are no such rows.
    """
    by_id = {query.id: query for query in queries}
    rows = [row for row in read_rows(folder / "sft.jsonl", SFTRow) if row.query_id in by_id]
    return [example_of(by_id[row.query_id], Plan.from_json(row.plan), row.completion[0]["content"]) for row in rows]


def _pairs(examples: Iterable[Example], maker: Maker) -> Iterator[PreferencePair]:
    """Yield pairs, the wrong decision first: of a set of one's own no other file teaches against it."""
    ledger = LengthLedger()
    for place, example in enumerate(examples):
        rng = Random(f"{maker.seed} {example.query.id} {place}")
        for number, (name, rejected) in enumerate(balanced(example, maker.pairs_per_query, rng, ledger)):
            yield corrupted_pair(example, name, rejected, place=f"{place}-{number}", style=maker.style, unknown=UNKNOWN)


def _prompts(queries: Iterable[Query], split: str, maker: Maker, rejects: _Rejects) -> list[RolloutPrompt]:
    """Return the prompts of a split's queries; without the combined risk, no rule could judge a response."""
    found = []
    for query in queries:
        if query.split != split:
            continue
        if query.labels.combined_risk is None:
            rejects.add(query, "grpo" if split == "train" else split, "combined_risk is not labelled")
            continue
        found.append(rollout_prompt(query, maker.style, maker.planner))
    return found


def _interleaved(prompts: Sequence[RolloutPrompt]) -> list[RolloutPrompt]:
    """Return prompts so ordered that every stretch has harmful and harmless ones in their share.

    A step of GRPO sees few prompts; one without unsafe ones teaches to comply with all.
    """
    by_risk: dict[Risk | None, list[RolloutPrompt]] = defaultdict(list)
    for prompt in prompts:
        by_risk[prompt.labels.combined_risk].append(prompt)
    placed = [((index + 0.5) / len(group), each) for group in by_risk.values() for index, each in enumerate(group)]
    return [each for _, each in sorted(placed, key=itemgetter(0))]


def _write_report(folder: Path, report: Report, rejects: _Rejects, maker: Maker) -> None:
    with replacing(folder / "stages.rejected.jsonl") as file:
        file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in rejects.found)
    about = {"builder": BUILDER, "protocol": fingerprint(), "style": maker.style, "seed": maker.seed}
    counts = {"rows": report.rows, "own_answers": report.own_answers}
    lists = {"assumed": dict(report.assumed.most_common()), "set_aside": dict(report.set_aside.most_common())}
    with replacing(folder / "stages.json") as file:
        json.dump({**about, **counts, **lists}, file, indent=1, ensure_ascii=False)
