"""Labelling a folder's queries: many questions at a time, every reply kept, nothing asked twice.

* unlabelled/queries.jsonl: the queries as they were; what a second run starts from
* queries.jsonl: those with clear labels
* labels.rejected.jsonl: the rest, each with its reasons and its rating
* labels.json: settings and counts
* labels.replies.sqlite: the judge's replies
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from data.files.json_lines import read_rows, replacing, write_rows
from data.files.locks import held
from data.labelling.rating import Clear, Rating, RatingError, contradictions, doubts, labelled, read_rating
from data.pictures.images import ImageError, portable_uri
from data.rows import Query
from protocol.errors import UserError
from protocol.labels import Decision, Labels
from protocol.templates import plain_template
from toolkit.catalogue import CATEGORIES
from toolkit.chat.cache import Kept, ReplyCache, question_key
from toolkit.chat.caller import CallerSpec, ChatError
from toolkit.chat.endpoint import ChatEndpoint, NoReplyError
from toolkit.chat.loop import LoopThread
from toolkit.chat.usage import Usage
from toolkit.chat.window import FaultWindow

MAX_REPLIES = 2
"""A reply that is no rating is asked for once more, with what is wrong with it."""


class LabelError(ChatError):
    """The judge cannot go on; says what is kept."""


LABELLER = CallerSpec("judge", "rating", 0x74726C62, LabelError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """How a folder is labelled."""

    folder: Path
    base_url: str
    model: str
    clear: Clear = field(default_factory=Clear)
    is_anew: bool = False
    """Forget what is labelled, such as to compare the judge with it."""
    concurrency: int = 8
    timeout_seconds: float = 120.0
    max_tokens: int = 1024
    max_unanswered: float = 0.2


@dataclass(slots=True)
class LabelTally:
    """What became of the queries."""

    kept: list[Query] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    num_unanswered: int = 0
    """Left out for want of a reply; the same command asks again."""

    def set_aside(self, query: Query, reasons: Sequence[str], rating: Rating | None) -> None:
        """Put a query with the rest."""
        self.reasons.update(reason.split(":")[0] for reason in reasons)
        found = {"query_id": query.id, "reasons": list(reasons)}
        self.rejects.append(found | {"rating": None if rating is None else asdict(rating)})


def label_folder(labelling: Labelling, tell: Callable[[int], object] = lambda _: None) -> LabelTally:
    """Label a folder's queries, and return what became of them.

    Args:
        labelling: how.
        tell: called with the number of queries done since the last call.

    Raises:
        UserError: there are no queries.
        LabelError: the judge cannot go on; its replies are kept, and `queries.jsonl` is as it was.
        LockedError: another process labels there.
    """
    folder = labelling.folder
    with held(folder / "queries.jsonl"):
        queries = _unlabelled(folder)
        loop = LoopThread()
        try:
            ratings = loop.run(_ratings(labelling, queries, tell))
        finally:
            loop.close()
        tally = _sorted(labelling, queries, ratings)
        with replacing(folder / "labels.rejected.jsonl") as file:
            file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in tally.rejects)
        write_rows(folder / "queries.jsonl", tally.kept)
        about = {"judge": labelling.model, "clear": asdict(labelling.clear), "queries": len(queries)}
        counts = {"labelled": len(tally.kept), "set_aside": dict(tally.reasons.most_common())}
        with replacing(folder / "labels.json") as file:
            json.dump(about | counts | {"unanswered": tally.num_unanswered}, file, indent=1)
    return tally


def _unlabelled(folder: Path) -> list[Query]:
    kept = folder / "unlabelled" / "queries.jsonl"
    queries = read_rows(kept if kept.exists() else folder / "queries.jsonl", Query)
    if not queries:
        raise UserError(f"{folder}/queries.jsonl: there are no queries")
    if not kept.exists():
        write_rows(kept, queries)
    return queries


def _sorted(labelling: Labelling, queries: Sequence[Query], ratings: Sequence[Rating | str | None]) -> LabelTally:
    tally = LabelTally()
    for query, rating in zip(queries, ratings, strict=True):
        known = _forgotten(query.labels) if labelling.is_anew else query.labels
        if rating is None:
            tally.kept.append(query)
        elif isinstance(rating, str):
            tally.num_unanswered += rating.startswith("no reply")
            tally.set_aside(query, [rating], None)
        elif reasons := [*doubts(rating, labelling.clear), *contradictions(known, rating)]:
            tally.set_aside(query, reasons, rating)
        else:
            tally.kept.append(replace(query, labels=labelled(known, rating)))
    return tally


def _forgotten(labels: Labels) -> Labels:
    return replace(labels, image_risk=None, text_risk=None, combined_risk=None, category=None, decision=None)


def _is_labelled(labels: Labels) -> bool:
    return None not in (labels.image_risk, labels.text_risk, labels.combined_risk, labels.decision, labels.category)


async def _ratings(
    labelling: Labelling, queries: Sequence[Query], tell: Callable[[int], object]
) -> list[Rating | str | None]:
    """Return a rating of each query, why there is none, or None where nothing had to be asked."""
    judge = _Judge(labelling)
    places = asyncio.Semaphore(labelling.concurrency)

    async def rated(query: Query) -> Rating | str | None:
        if not labelling.is_anew and _is_labelled(query.labels):
            found: Rating | str | None = None
        else:
            async with places:
                found = await judge.rate(query)
        tell(1)
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rated(query)) for query in queries]
    except ExceptionGroup as errors:  # the others were cancelled because of the first
        raise errors.exceptions[0] from None
    finally:
        await judge.close()
    return [task.result() for task in tasks]


class _Judge:
    """The endpoint and the replies it has given."""

    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling
        self._endpoint = ChatEndpoint(
            labelling.base_url, labelling.model, LABELLER, Usage(), timeout_seconds=labelling.timeout_seconds
        )
        self._cache = ReplyCache(labelling.folder / "labels.replies.sqlite", LABELLER)
        self._window = FaultWindow(labelling.max_unanswered, word="unanswered")
        self._sampling = {"temperature": 0.0, "max_tokens": labelling.max_tokens}

    async def rate(self, query: Query) -> Rating | str:
        """Return the rating of a query, or why there is none.

        Raises:
            LabelError: no request can succeed, or too much went unanswered.
        """
        try:
            messages = question_about(query, self._labelling.folder)
        except ImageError as error:
            return f"picture: {error}"
        fault = ""
        for _ in range(MAX_REPLIES):
            try:
                reply = await self._reply(messages)
            except NoReplyError as error:
                return f"no reply: {error}"
            try:
                return read_rating(reply)
            except RatingError as error:
                fault = f"no rating: {error}"
            told = {"role": "user", "content": f"That cannot be read: {fault}. Reply with the JSON object alone."}
            messages = [*messages, {"role": "assistant", "content": reply or "(nothing)"}, told]
        return fault

    async def _reply(self, messages: list[dict[str, Any]]) -> str:
        question = question_key(model=self._labelling.model, messages=messages, sampling=self._sampling)
        if (kept := self._cache.get(question)) is not None:
            return kept.text
        if self._window.is_too_much:
            raise LabelError(f"{self._endpoint.name}: {self._window.describe()}; the same command goes on")
        try:
            reply = await self._endpoint.ask(messages, self._sampling)
        except NoReplyError as error:
            self._window.note(str(error))
            raise
        self._window.note()
        kept = Kept(reply.text, reply.prompt_tokens, reply.completion_tokens)
        return self._cache.put(question, self._labelling.model, kept).text

    async def close(self) -> None:
        await self._endpoint.close()
        self._cache.close()


def question_about(query: Query, root: Path) -> list[dict[str, Any]]:
    """Return the conversation that asks for a rating; the query is quoted, and gives no orders.

    Raises:
        ImageError: a picture cannot be used.
    """
    template = plain_template("data", "labelling/prompts/label.j2", trims=False)
    system = template.render(has_picture=bool(query.images), categories=CATEGORIES, decisions=list(Decision))
    pictures = [{"type": "image_url", "image_url": {"url": portable_uri(each, root)}} for each in query.images]
    words = {"type": "text", "text": f"<request>\n{query.text}\n</request>"}
    return [{"role": "system", "content": system.strip()}, {"role": "user", "content": [*pictures, words]}]
