"""A whole synthesis: many conversations at the same time, rows in the order of the queries, rejects with their reasons.

    sft.jsonl                    what became rows
    sft.rejected.jsonl           everything else, with its reasons and the teacher's last words
    sft.synthesis.json           the settings, and counts that add up

The files are written at once when all is done. The cache of replies makes a run resumable: the same call goes through
all queries again, and asks only for missing replies.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedLongEnoughError
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

from data.files.json_lines import replacing, row_to_json
from data.files.locks import held
from data.selection.quotas import QuotaLedger
from data.teacher.conversation import Fate, RowJob, RowOutcome, converse
from data.teacher.records import reject_of, report_of, row_of
from data.teacher.replies import Replies, Spending
from data.teacher.settings import TeacherSettings
from data.teacher.synthesis import Filter, Synthesis, SynthesisProgress
from toolkit.chat.loop import LoopThread

_AHEAD = 8
"""Conversations in progress for each question that may be open: a slow one delays only the order."""
_JUDGED_TOGETHER = 16
_TICK_SECONDS = 1.0


def synthesize(synthesis: Synthesis, tell: Callable[[SynthesisProgress], object] = lambda _: None) -> SynthesisProgress:
    """Make the rows, and return what became of every one.

    Args:
        synthesis: what to make.
        tell: called after every outcome and at least every second.

    Raises:
        TeacherError: the teacher cannot go on; every reply so far is kept, and nothing was written.
        LockedError: another process writes the same rows.
        KeyboardInterrupt: likewise.
    """
    with held(synthesis.output):
        return _synthesized(synthesis, tell)


def _synthesized(synthesis: Synthesis, tell: Callable[[SynthesisProgress], object]) -> SynthesisProgress:
    jobs = list(synthesis.jobs())
    loop, spending = LoopThread(), Spending()
    try:
        replies = loop.run(_opened(synthesis.teacher, spending))
        try:
            progress = SynthesisProgress(len(jobs), spending)
            _write(synthesis, jobs, _Conversations(loop, replies, synthesis), progress, tell)
        finally:
            loop.cancel_all()
            loop.run(replies.close())
    finally:
        loop.close()
    return progress


async def _opened(settings: TeacherSettings, spending: Spending) -> Replies:
    return Replies(settings, spending)


def _write(
    synthesis: Synthesis,
    jobs: Sequence[RowJob],
    conversations: "_Conversations",
    progress: SynthesisProgress,
    tell: Callable[[SynthesisProgress], object],
) -> None:
    rejected: list[RowJob] = []

    def given_back() -> list[RowJob]:
        given = rejected.copy()
        rejected.clear()
        return given

    rounds = QuotaLedger(synthesis.quotas).rounds(jobs, lambda job: job.query, given_back)
    with ExitStack() as stack:
        rows, rejects = (stack.enter_context(replacing(path)) for path in (synthesis.output, synthesis.rejected_path))
        for chosen in rounds:
            for outcome in _filtered(conversations.outcomes(chosen, lambda: tell(progress)), synthesis.judge):
                progress.add(outcome)
                tell(progress)
                if outcome.fate is Fate.ROW:
                    _write_line(rows, row_to_json(row_of(outcome, synthesis)))
                else:
                    rejected.append(outcome.job)
                    _write_line(rejects, reject_of(outcome))
    with replacing(synthesis.report_path) as file:
        json.dump(report_of(synthesis, progress), file, indent=1, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Conversations:
    """Many at the same time, their outcomes in order."""

    loop: LoopThread
    replies: Replies
    synthesis: Synthesis

    def outcomes(self, jobs: Iterable[RowJob], tick: Callable[[], object]) -> Iterator[RowOutcome]:
        """Yield the outcomes of jobs in their order; `tick` is called every second while waiting for one."""
        under_way: deque[Future[RowOutcome]] = deque()
        for job in jobs:
            under_way.append(self._begin(job))
            if len(under_way) >= _AHEAD * self.replies.settings.concurrency:
                yield _result(under_way.popleft(), tick)
        while under_way:
            yield _result(under_way.popleft(), tick)

    def _begin(self, job: RowJob) -> Future[RowOutcome]:
        plan = self.synthesis.planners[job.variant](job.query.text, len(job.query.images))
        return self.loop.submit(converse(job, plan, self.replies, self.synthesis.output.parent))


def _result(future: Future[RowOutcome], tick: Callable[[], object]) -> RowOutcome:
    while True:
        try:
            return future.result(timeout=_TICK_SECONDS)
        except WaitedLongEnoughError:
            if future.done():  # just now, or by a time-out of its own
                return future.result()
            tick()


def _filtered(outcomes: Iterable[RowOutcome], judge: Filter | None) -> Iterator[RowOutcome]:
    """Yield outcomes in order, those that are rows so far judged together, a few at a time."""
    if judge is None:
        yield from outcomes
        return
    batch: list[RowOutcome] = []
    for outcome in outcomes:
        batch.append(outcome)
        if len(batch) == _JUDGED_TOGETHER:
            yield from _judged(batch, judge)
            batch = []
    yield from _judged(batch, judge)


def _judged(batch: Sequence[RowOutcome], judge: Filter) -> Iterator[RowOutcome]:
    judged = iter(judge([outcome for outcome in batch if outcome.fate is Fate.ROW]))
    for outcome in batch:
        yield next(judged) if outcome.fate is Fate.ROW else outcome


def _write_line(file: IO[str], record: Mapping[str, Any]) -> None:
    file.write(json.dumps(record, ensure_ascii=False) + "\n")
