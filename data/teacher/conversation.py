"""One query with its teacher: asked, reviewed, repaired a bounded number of times."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from data.pictures.images import ImageError
from data.rows import Query
from data.teacher.prompting import opening, repair
from data.teacher.replies import Replies
from data.teacher.review import NO_REPLY, Review, review
from protocol import Plan, Verdict
from toolkit.chat.endpoint import NoReplyError


class Fate(StrEnum):
    """What became of a query under a plan."""

    ROW = "row"
    INVALID = "invalid"
    """The last reply still broke a rule, or the query cannot be asked."""
    FILTERED = "filtered"
    """The judge finds it not good enough."""
    UNANSWERED = "unanswered"
    """No reply came; the next run asks again."""
    UNJUDGED = "unjudged"
    """The judge came to no verdict; the next run asks again."""


AGAIN = frozenset({Fate.UNANSWERED, Fate.UNJUDGED})
"""What another run may find otherwise."""


@dataclass(frozen=True, slots=True)
class RowJob:
    """A row to be made."""

    row_id: str
    query: Query
    variant: int
    """Number of the plan among those for this query, from 0."""


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What a conversation, and the judge after it, came to."""

    job: RowJob
    plan: Plan
    fate: Fate
    response: str
    """Canonical where it became a row; else the teacher's last words."""
    num_replies: int
    reasons: tuple[str, ...] = ()
    """Why it is no row."""
    first_codes: tuple[str, ...] = ()
    """What was wrong with the first reply."""
    last_codes: tuple[str, ...] = ()
    """What was still wrong with the last one."""
    verdict: Verdict | None = None
    """On the response, where nothing is wrong with it."""


async def converse(job: RowJob, plan: Plan, replies: Replies, root: Path) -> RowOutcome:
    """Ask for a response to a query under a plan, and have it repaired as often as the settings say.

    Raises:
        data.teacher.settings.TeacherError: the teacher cannot go on.
    """
    settings, labels = replies.settings, job.query.labels
    try:
        messages = opening(job.query, plan, root, is_blind=settings.is_blind, ground=settings.picture_ground)
    except ImageError as error:
        return RowOutcome(job, plan, Fate.INVALID, "", 0, (str(error),), ("image",), ("image",))
    found = Review("")
    first_codes: tuple[str, ...] = ()
    fault = ""
    for num_replies in range(1, settings.num_repairs + 2):
        try:
            reply = await replies.to(messages, plan)
        except NoReplyError as error:
            last = (NO_REPLY,)
            return RowOutcome(
                job, plan, Fate.UNANSWERED, found.response, num_replies - 1, (str(error),), first_codes, last
            )
        fault = reply.fault
        found = review(reply.text, plan, labels, fault)
        first_codes = found.codes if num_replies == 1 else first_codes
        if not found.problems:
            return RowOutcome(job, plan, Fate.ROW, found.response, num_replies, (), first_codes, (), found.verdict)
        messages = [*messages, *repair(reply.text, found.problems)]
    reasons = (fault,) if fault else found.problems
    return RowOutcome(
        job, plan, Fate.INVALID, found.response, settings.num_repairs + 1, reasons, first_codes, found.codes
    )
