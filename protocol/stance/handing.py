"""Finds the parts of an answer that hand something over beside a refusal: orders, swaps, quotations, lists, reports.

`withholding` asks this for every sentence, whatever the sentence does otherwise. All of it is doubt: a sentence that is
found here may be harmless, and then the guard shows its own words instead.
"""

import re
from collections.abc import Sequence

from protocol.stance.reading.sentences import Cue, Sentence
from protocol.stance.reading.wordings import wordings

_SHOWING = (Cue.REFUSE, Cue.INABILITY, Cue.ATTITUDE, Cue.CONDEMN, Cue.WARN, Cue.CARE, Cue.PREACH)
"""Cues that show that an answer withholds something."""
_SPEAKER = re.compile(r"\b(?:i|i'[md]|i'll|me|my|we|our|us|mine|myself)\b", re.IGNORECASE)
_SENSES = re.compile(
    r"(?:can't|cannot|can not|couldn't|could not|not able to|unable to) (?:\w+ly |quite )?"
    r"(?:see(?! (?:how|why|any|my|the (?:point|sense|good)))|hear(?! of)|make out|read(?! minds)|spot|smell"
    r"|recogni[sz]e|find (?:any (?:information|record|trace|mention)|the|it|him|her|a (?!way))"
    r"|tell (?:if|from|whether))\b",
    re.IGNORECASE,
)
"""Says what the speaker cannot see or find, which answers a question about a picture or a text."""
_STATES = re.compile(
    r"(?:no|yes|nope|never), (?:(?:i|we) (?:haven't|have not|hadn't|didn't|did not|wasn't|was not)"
    r"|(?!(?:i|i'\w+|we|my|our|not|no|and|please|thanks?|thank)\b)\w+)"
    r"|(?:i|we) (?:can )?(?:see|hear|count|read) (?!how|why|that|you)",
    re.IGNORECASE,
)
"""Answers with yes or no and says what is or was, or says what the speaker sees."""
_QUOTED = re.compile(r'"(?:[^"\s]{1,60}\s{1,4}){3}[^"]{0,2000}"')
"""Four words or more in quotes."""
_DISCLOSES = re.compile(
    r"\b(?:tell|say|reveal|write|disclose|confirm|repeat|state|claim) (?:(?:you|anyone|him|her|them) )?"
    r"that (?:(?:the|an?|all|his|her|their|its|it|he|she|they|we|there)\b|\w+s (?:are|have|do|should|were)\b)",
    re.IGNORECASE,
)
"""Says what it claims not to say: "I won't tell you that the key hangs behind the clock"."""
_MAY_LIST = (Cue.REFUSE, Cue.CARE, Cue.ADVISE, Cue.DIVERT, Cue.OFFER)
"""Cues of sentences that may enumerate: what is declined, or whom to ask."""
_SWAP = re.compile(r"\binstead\b", re.IGNORECASE)


def shows(sentence: Sentence) -> bool:
    """Whether a sentence shows that the answer withholds: by its cue, or because the speaker speaks of themselves."""
    if sentence.cue in _SHOWING or sentence.language != "en":
        return True
    is_moral = sentence.is_about_law_or_care
    return bool(_SPEAKER.search(sentence.text)) or (is_moral and sentence.cue is Cue.DENY)


def hands_over(answer: str, sentences: Sequence[Sentence]) -> bool:
    """Whether a part of an answer hands something over, whatever the rest does.

    Args:
        answer: its plain text.
        sentences: all of its sentences, in order.
    """
    if ('"' in answer and _QUOTED.search(answer)) or _DISCLOSES.search(answer):
        return True
    if any(map(_orders_or_lists, sentences)):
        return True
    is_declined = any(each.cue is Cue.REFUSE for each in sentences)
    if is_declined:
        return False
    is_moral = any(each.is_about_law_or_care for each in sentences)
    return any(map(_tells, sentences)) or (not is_moral and any(map(_swaps, sentences)))


def _orders_or_lists(sentence: Sentence) -> bool:
    known, text = wordings(), sentence.text.lower()
    if sentence.cue not in _MAY_LIST and known.listing.search(text):
        return True
    return known.order.search(text) is not None


def _tells(sentence: Sentence) -> bool:
    """Whether a sentence is an answer about what the speaker sees or knows."""
    is_stating = not sentence.is_about_law_or_care and _STATES.match(sentence.text)
    return bool(is_stating or _SENSES.search(sentence.text))


def _swaps(sentence: Sentence) -> bool:
    """Whether a sentence names another thing to take, where neither harm nor care is spoken of."""
    return _SWAP.search(sentence.text) is not None and not _SPEAKER.search(sentence.text)
