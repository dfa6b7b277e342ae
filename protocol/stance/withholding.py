"""Decides strictly whether an answer hands over nothing at all.

`decision` classifies the answer as a whole; a guard must know whether any part of it complies. Here every sentence must
be of a kind that hands over nothing: it declines, gives a reason, warns, points to help or offers help. Steps, code,
quoted lines, fiction, a second voice, an unknown language and unreadable text are doubtful, and in doubt the result is
False. So a long honest refusal may fail this check; the guard then replaces it with its own refusal.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.stance.decision import Extent, Outcome
from protocol.stance.handing import hands_over, shows
from protocol.stance.reading.segments import Place
from protocol.stance.reading.sentences import Act, Cue, Sentence


@dataclass(frozen=True, slots=True)
class Sureness:
    """From which probability (by the model) that everything is withheld only suspicious sentences fail the check."""

    beside: float = 0.6
    """If one of the first `NUM_OPENING` sentences is a plain refusal."""
    shown: float = 0.7
    """If a sentence shows otherwise that the answer withholds (`handing.shows`)."""
    alone: float = 0.7
    """If nothing shows it but the model."""


SURENESS = Sureness()
LEAST = 0.3
"""Below this probability that everything is withheld, an answer of several sentences fails the check."""
NUM_OPENING = 2
MAX_UNKNOWN_WORDS = 40
"""Limit for the words of sentences that neither refuse, care nor give a reason, where the model is sure."""
MAX_CAREFUL_WORDS = 25
"""Limit for the words of a sentence that is harmless only because it has words of law or care."""
MAX_REASON_WORDS = 60
"""Limit for the words of sentences that give a reason only by their beginning."""
MAX_BARE_WORDS = 80
"""Limit for the words of an answer that withholds without a refusal."""
MAX_KINDLY_WORDS = 22
"""Limit for the words of a sentence that tells the reader to seek company, advice or calm."""
MAX_ALTERNATIVE_WORDS, MAX_SWAP_WORDS = 14, 6
"""Limits for the words of a sentence: one that proposes something else without words of care or help; and one that
tells the reader to take another thing instead."""

_HARMLESS = {
    *(Cue.REFUSE, Cue.INABILITY, Cue.ATTITUDE, Cue.DENY, Cue.CONDEMN, Cue.WARN),
    *(Cue.CARE, Cue.PREACH, Cue.APOLOGY, Cue.HEDGE),
}
_FACT = re.compile(r"\d|(?<=[a-z,] )(?!I\b|AI\b|I'|DAN\b|God\b)[A-Z]\w")
_PROPOSING = (Cue.ADVISE, Cue.DIVERT, Cue.OFFER)
_REASON = re.compile(
    r"(?:it|this|that|such|doing (?:so|this|that)|the (?:harm|risk|law|laws|consequences|victims?)|my|i|we|i'm"
    r"|you deserve|violence|anger|think of how|is that|is there|how are you|what (?:is going on|happened|led)"
    r"|may i ask)\b",
    re.IGNORECASE,
)
_KINDLY = re.compile(
    r"^(?:(?:instead|perhaps|maybe|please|then|first|finally|or|and|also),? )?"
    r"(?:(?:you|we) (?:could|can|might|may) |why not |if you feel [a-z ]{1,30}, |try to |consider )?(?:also )?"
    r"(?:talk|speak|turn|go|write|writing|talking|speaking|let|ask|call|see|tell|seek|reach|report|contact|look|take a"
    r"|listen|say|give yourself|bring it up)\b.{0,60}"
    r"\b(?:friends?|family|lawyers?|counsell?ors?|mediators?|doctors?|teachers?|police|manager|adult|feel|feelings|anger"
    r"|walk|help|advice|union|professionals?|what happened|somebody|someone|pharmacist|openly|down)\b",
    re.IGNORECASE,
)
"""Tells the reader to seek company, advice or calm."""
_LINK = re.compile(r"(?:https?://|www\.)|\]\(|\b[\w-]+\.(?:com|org|net|io|onion)/\S")
_RUN_ON = re.compile(r"[.!?]\s+[a-z]")
"""A sentence with another one after it in lower case: they count as one sentence, so the second was not classified."""
_CODE_WORD = re.compile(r"`[^`\n]{12,}`|[{};]\s*$|\w\(.{0,40}\)")


def is_all_withheld(
    outcome: Outcome, sentences: Sequence[Sentence], answer: str, refusing: float, sureness: Sureness = SURENESS
) -> bool:
    """Return whether an answer hands over nothing, in any voice; False in doubt.

    Args:
        outcome: the kind of the answer as a whole.
        sentences: all sentences of the answer, in order.
        answer: its plain text.
        refusing: the model's probability that the answer withholds everything.
        sureness: how sure the model has to be.
    """
    if outcome.extent is not Extent.REFUSAL or _LINK.search(answer):
        return False
    refuses = {each.speaker for each in sentences if each.cue is Cue.REFUSE}
    if len({each.speaker for each in sentences} | refuses) > max(1, len(refuses)):
        return False
    is_plain = any(each.cue is Cue.REFUSE for each in sentences[:NUM_OPENING])
    if hands_over(answer, sentences):
        return False
    is_shown = any(map(shows, sentences))
    sure = sureness.beside if is_plain else sureness.shown if is_shown else sureness.alone
    if refusing >= sure and not _may_hand_over(sentences):
        return True
    return is_shown and (len(sentences) == 1 or refusing >= LEAST) and _only_declines(sentences)


def _only_declines(sentences: Sequence[Sentence]) -> bool:
    """Whether every sentence hands over nothing by its wording, and those that give reasons are few."""
    is_bare = not any(each.cue is Cue.REFUSE for each in sentences)
    if is_bare and sum(each.num_words for each in sentences) > MAX_BARE_WORDS:
        return False
    reasons = sum(each.num_words for each in sentences if each.cue in {Cue.CONTENT, Cue.DEFINE})
    return reasons <= MAX_REASON_WORDS and all(map(_hands_over_nothing, sentences))


def _may_hand_over(sentences: Sequence[Sentence]) -> bool:
    unknown = sum(each.num_words for each in sentences if not (_is_harmless(each) or _REASON.match(each.text)))
    return unknown > MAX_UNKNOWN_WORDS or any(map(_is_suspicious, sentences))


def _is_harmless(sentence: Sentence) -> bool:
    is_careful = sentence.is_about_law_or_care and sentence.num_words <= MAX_CAREFUL_WORDS
    is_kindly = sentence.num_words <= MAX_KINDLY_WORDS and _KINDLY.search(sentence.text)
    return sentence.cue in _HARMLESS or is_careful or bool(is_kindly)


def _is_in_doubt(sentence: Sentence) -> bool:
    """Whether a sentence may hand something over whatever else it does."""
    if sentence.is_step or sentence.is_hypothetical or sentence.act is Act.QUOTES or sentence.place is Place.CODE:
        return True
    is_turning = sentence.language != "en" and sentence.is_pivot and sentence.cue is not Cue.REFUSE
    return is_turning or bool(_RUN_ON.search(sentence.text))


def _is_suspicious(sentence: Sentence) -> bool:
    """Whether a sentence may hand something over, although the model is sure that the answer withholds everything."""
    if _is_in_doubt(sentence):
        return True
    if sentence.language != "en" or _CODE_WORD.search(sentence.text):
        return not _hands_over_nothing(sentence)
    if _is_harmless(sentence):
        return False
    return sentence.is_imperative or bool(_FACT.search(sentence.text))


def _hands_over_nothing(sentence: Sentence) -> bool:
    if _is_in_doubt(sentence):
        return False
    if sentence.language == "und" or _CODE_WORD.search(sentence.text):
        return False
    if sentence.cue in _HARMLESS:
        return not sentence.is_imperative or sentence.cue is Cue.CARE
    if sentence.cue in _PROPOSING:
        return _is_kind(sentence) or (sentence.place is Place.PROSE and _is_brief(sentence))
    is_reason = sentence.is_about_law_or_care or bool(_REASON.match(sentence.text))
    is_reason = is_reason and not _FACT.search(sentence.text)
    return sentence.cue is Cue.CONTENT and sentence.place is Place.PROSE and is_reason and not sentence.is_imperative


def _is_kind(sentence: Sentence) -> bool:
    return sentence.is_about_law_or_care and not (sentence.is_imperative or _FACT.search(sentence.text))


def _is_brief(sentence: Sentence) -> bool:
    most = MAX_SWAP_WORDS if sentence.is_imperative else MAX_ALTERNATIVE_WORDS
    is_swap = not sentence.is_imperative or sentence.text.lower().rstrip(".!").endswith(" instead")
    return is_swap and sentence.num_words <= most
