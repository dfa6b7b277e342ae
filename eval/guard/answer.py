"""The guard: asks a policy under a plan, and releases its answer only if everything that can be checked holds.

    guard = Guard(policy, planner)
    answered = guard.answer("How do I clean the knife?", images=["kitchen.png"])
    print(answered.text)

It fails closed. A response that is invalid, incoherent, cut off or undecided, an answer that is not seen to do what the
trace decided (`release.py`), one that a judge holds for unsafe or cannot judge, and every error on the way, yield one
fixed message; `withheld` says why in words that quote nothing of the response. What a trace says is the model's own
statement: the guard sees that the answer does what the trace decided, not that the decision is right. For that there
is the judge, whose word is added and replaces no check; without one `unchecked` says what nobody has checked, and the
log says it once.

No torch: a policy is whatever has `respond` (`eval.policies.base.Policy`), such as
`eval.policies.endpoint.EndpointPolicy`.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from data.pictures.images import ground_of, portable_uri, read_image
from data.prompts import rollout_prompt
from data.rows import Query, RolloutPrompt
from eval.guard.audit import AuditLog, text_hash
from eval.guard.release import UNCHECKED, Reason, faults
from eval.judges import Item, Judge
from eval.policies.base import Generation
from eval.scores.response import Unscored
from protocol import Plan, Verdict, diagnose
from protocol.plans.prompt import Style
from toolkit.catalogue import fingerprint as protocol_fingerprint
from toolkit.planner import Planner, plan_query

SAFE_MESSAGE = "I cannot give an answer to this that I can vouch for. Please ask in another way, or ask a person."
MIN_SAFETY = 1.0
"""The least safety verdict, of -3..3, with which an answer is released: 0 could not be judged, below it does harm."""

_log = logging.getLogger(__name__)


class Responder(Protocol):
    """What a guard asks: any policy, or a few lines around another program's model."""

    def respond(self, prompts: Sequence[RolloutPrompt], images_root: Path) -> Sequence[Generation]:
        """Return one response a prompt; pictures come as `data:` URIs."""
        ...


@dataclass(frozen=True, slots=True)
class GuardedAnswer:
    """What came of a question."""

    text: str
    """What may be shown to the user: the answer, or the safe message."""
    withheld: tuple[Reason, ...]
    """Why it is the safe message; empty where it is the answer."""
    plan: Plan | None = None
    """None where planning already failed."""
    generation: Generation | None = None
    """What the policy wrote, not fit to be shown where it is withheld; None where there is nothing."""
    verdict: Verdict | None = None
    """On the response."""
    safety: float | None = None
    """The judge's verdict, -3..3; None without a judge, and where it could not judge."""
    error: Exception | None = None
    """What went wrong on the way, for the log of the calling program and not for its user."""
    unchecked: str = ""
    """What nobody has checked, in one sentence; "" where a judge was asked for."""

    @property
    def is_released(self) -> bool:
        """Whether `text` is the policy's answer."""
        return not self.withheld


@dataclass(frozen=True)
class Guard:
    """Asks, checks, and releases or withholds; every question by itself."""

    policy: Responder
    planner: Planner = plan_query
    style: Style = "full"
    """How a prompt puts the plan into words: as the model was trained."""
    judge: Judge | None = None
    """Judges answers that pass all else; one that needs labels, such as the rule judge, releases nothing."""
    audit: AuditLog | None = None
    """Where every question is recorded before its answer is released."""
    has_texts: bool = False
    """Whether the audit log has the words too, and not only their hashes."""
    is_enforced: bool = True
    """Whether the calling program shows nothing that is withheld; only recorded."""
    safe_message: str = SAFE_MESSAGE
    min_safety: float = MIN_SAFETY
    images_root: Path = field(default_factory=Path.cwd)
    """The folder that relative paths of pictures start from, and may not leave."""

    def __post_init__(self) -> None:
        """Say once what is not checked."""
        if self.judge is None:
            _log.warning("guard: %s", UNCHECKED)

    def answer(self, query: str | Query, images: Sequence[str | Path] = ()) -> GuardedAnswer:
        """Return the answer to a question, or the safe message with the reasons for it.

        Args:
            query: the user's words, or a row with its pictures.
            images: pictures, as paths or `data:` URIs, beside the row's.

        Raises:
            AuditError: it could not be recorded; nothing is released then.
        """
        started = time.monotonic()
        question = query if isinstance(query, Query) else Query("question", query, "guard", "guard")
        attempt = _Attempt(self, question, (*question.images, *map(str, images)))
        try:
            attempt.run()
        except Exception as error:  # noqa: BLE001 - a guard that an error gets past is none
            attempt.error = error
            attempt.withhold(attempt.step, f"failed with {type(error).__name__}")
        answered = attempt.result()
        if self.audit is not None:
            self.audit.append(_entry(answered, attempt, time.monotonic() - started))
        return answered


class _Attempt:
    """One question on its way; `step` names what is being done, for the reason where it fails."""

    def __init__(self, guard: Guard, query: Query, images: Sequence[str]) -> None:
        self.guard = guard
        self.query = query
        self.images = images
        self.uris: tuple[str, ...] = ()
        self.step = "picture"
        self.reasons: list[Reason] = []
        self.plan: Plan | None = None
        self.generation: Generation | None = None
        self.verdict: Verdict | None = None
        self.safety: float | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        self.uris = tuple(self._uri(each) for each in self.images)
        self.step = "planner"
        plan = self.plan = self.guard.planner(self.query.text, len(self.uris))
        query = Query(self.query.id, self.query.text, self.query.kind, self.query.split, images=self.uris)
        prompt = rollout_prompt(query, self.guard.style, lambda *_: plan)
        self.step = "policy"
        (self.generation,) = self.guard.policy.respond([prompt], Path())
        if self.generation.failure:
            self.withhold("policy", "gave no response")
            return
        self.step = "verdict"
        verdict = self.verdict = diagnose(self.generation.text, plan, query=self.query.text)
        self.reasons += faults(self.generation, verdict, self.query.text)
        if self.guard.judge is not None and not self.reasons:
            self.step = "judge"
            self._judge(self.guard.judge, verdict)

    def withhold(self, name: str, detail: str) -> None:
        self.reasons.append(Reason(name, detail))

    def result(self) -> GuardedAnswer:
        answer = self.verdict.reading.answer if self.verdict else None
        if answer is None and not self.reasons:
            self.withhold("verdict", "there is no answer")
        text = self.guard.safe_message if self.reasons or answer is None else answer
        reasons = tuple(self.reasons)
        unchecked = UNCHECKED if self.guard.judge is None else ""
        return GuardedAnswer(
            text, reasons, self.plan, self.generation, self.verdict, self.safety, self.error, unchecked
        )

    def _uri(self, source: str) -> str:
        """Return a picture as a `data:` URI; an absolute path is one that the calling program chose."""
        path = Path(source)
        is_given = not source.startswith("data:") and path.is_absolute()
        root, name = (path.parent, path.name) if is_given else (self.guard.images_root, source)
        return portable_uri(name, root, ground_of(self.guard.policy))

    def _judge(self, judge: Judge, verdict: Verdict) -> None:
        pictures = tuple(read_image(uri, Path()) for uri in self.uris)
        found = judge.judge(Item(verdict, query=self.query.text, load_images=lambda: pictures)).safety
        if isinstance(found, Unscored):
            self.withhold("unjudged", "the judge could not judge the answer")
            return
        self.safety = found
        if not found >= self.guard.min_safety:
            self.withhold("unsafe", f"the judge gives safety {found:g}, released is from {self.guard.min_safety:g} on")


def _entry(answered: GuardedAnswer, attempt: _Attempt, seconds: float) -> dict[str, Any]:
    """Return what is recorded of a question: hashes of all that was said, and what was made of it."""
    response = answered.generation.text if answered.generation else None
    texts = {"query": attempt.query.text, "response": response, "shown": answered.text}
    diagnostics = answered.verdict.diagnostics if answered.verdict else ()
    return {
        "released": answered.is_released,
        "enforced": attempt.guard.is_enforced,
        "withheld": [reason.name for reason in answered.withheld],
        "codes": sorted({found.code for found in diagnostics}),
        "safety": answered.safety,
        "is_judged": attempt.guard.judge is not None,
        "plan": answered.plan.fingerprint if answered.plan else None,
        "protocol": protocol_fingerprint(),
        "images": [text_hash(uri) for uri in attempt.uris],
        "seconds": round(seconds, 3),
        **{f"{name}_hash": None if text is None else text_hash(text) for name, text in texts.items()},
        **(texts if attempt.guard.has_texts else {}),
    }
