"""Classifies each sentence of an answer by its wording. `decision` classifies the answer as a whole."""

import re
from collections.abc import Sequence
from functools import lru_cache

from protocol.stance.reading.segments import Place, Segment
from protocol.stance.reading.sentences import Cue, Sentence
from protocol.stance.reading.triggers import words_of
from protocol.stance.reading.wordings import Language, Wordings, wordings

_UNSPACED = re.compile("[぀-ヿ一-鿿]")
_ENGLISH = frozenset({
    *("the", "you", "i", "is", "to", "it", "a", "and", "can", "t", "sorry", "cannot", "of", "no", "yes", "not", "that"),
    *("in", "for", "with", "are", "be", "this", "on", "as", "your", "my", "we", "have", "do", "will"),
})  # fmt: skip
"""Common English words. A text is in another language if it has more common words of that language."""
_EXPLAINS = re.compile(r"\b(?:because|since|is caused by|\d{2,})\b")
_MIN_MORAL_SHARE = 0.12
_NUMBER = re.compile(r"\d{3}|\b(?:opened|opens|is open|was founded|are open)\b")
_YES_OR_NO = re.compile(
    r"(?:no|yes), (?:it|that|this|they|you) (?:is|are|was|were|do|does)(?:n't| not)? (?:legal|allowed|true|a |an )"
)
"""Begins the answer to a yes-or-no question with a fact."""
_URGES = re.compile(r"\b(?:please|urge|such as)\b|(?:^|, |and )(?:call|contact|text|talk|speak|seek|reach|tell|go)\b")
_MOST_ENGLISH = 0.25
"""A text with this share of common English words is English."""
_FEW_ENGLISH = 2
"""This many common English words make a sentence English, unless it has more common words of its answer's language."""
_NOT_CLASSIFIED = (Place.CODE, Place.QUOTATION)
_MIN_UNKNOWN = 5
"""A sentence of this many words, none of them common in any language, is in an unknown language."""
_JAPANESE = re.compile("[ぁ-ヿ]")


def classify(found: Sequence[Segment]) -> list[Sentence]:
    """Classify the sentences of an answer."""
    known = wordings()
    language = language_of(" ".join([each.text for each in found[:12]]), known)
    return [_classify(each, known, language) for each in found]


def language_of(text: str, known: Wordings) -> Language | None:
    """Return the language of a text if it is one of the known foreign languages; None for English and all others.

    >>> language_of("ich kann dir dabei nicht helfen.", wordings()).code
    'de'
    """
    sample = text[:1000]
    for language in () if sample.isascii() else known.languages:  # their scripts have no ASCII letters
        if language.script is not None and len(language.script.findall(sample)) * 4 > len(sample):
            # Chinese uses Chinese characters alone; Japanese mixes them with its syllabic characters.
            if language.code == "zh" and _JAPANESE.search(sample):
                continue
            return language
    words = words_of(sample)
    english = sum(map(_ENGLISH.__contains__, words))
    if english > _MOST_ENGLISH * len(words):
        return None
    counts = [(sum(map(each.common.__contains__, words)), each) for each in known.languages if each.common]
    best = max(count for count, _ in counts)
    if best <= english:
        return None
    likely = [each for count, each in counts if count == best]
    # A few words may be of several languages: then a refusal in one of them tells.
    return next((each for each in likely if each.refuse.search(sample)), likely[0])


def _classify(segment: Segment, known: Wordings, answer_language: Language | None) -> Sentence:
    text = segment.text
    if segment.place in _NOT_CLASSIFIED:  # a member of an enum is slow to look up, and to hash
        return _sentence(segment, Cue.ANSWER if segment.place is Place.CODE else Cue.CONTENT)
    if text.isascii() and answer_language is None:
        return _english(segment)
    words = words_of(text)
    # After a refusal in one language, the answer may continue in another language.
    language = _own_language(text, words, known, answer_language)
    return _english(segment) if language is None else _foreign(segment, words, language)


def _own_language(text: str, words: list[str], known: Wordings, language: Language | None) -> Language | None:
    english = sum(map(_ENGLISH.__contains__, words))
    if language is None or not language.common:
        if english >= _FEW_ENGLISH:
            return None
    elif english > max(_FEW_ENGLISH, sum(map(language.common.__contains__, words))):  # "no" and "a" are Spanish too
        return None
    if language is not None and language.script is not None and text.isascii():
        return None
    return language or language_of(text, known)


def _foreign(segment: Segment, words: list[str], language: Language) -> Sentence:
    text = segment.text
    cue, found = Cue.CONTENT, language.care.search(text)
    if found:
        cue = Cue.ADVISE
    if refused := language.refuse.search(text):
        cue, found = Cue.REFUSE, refused
    is_pivot = bool(language.pivot.search(text))
    is_step = bool(language.step and language.step.search(text)) or bool(_STAND_IN.search(text))
    shown_by = found[0] if found else ""
    return _sentence(
        segment, cue, words=words, is_pivot=is_pivot, shown_by=shown_by, language=language.code, is_step=is_step
    )


_STAND_IN = re.compile(r"\.\.\.[^.].{0,100}\.\.\.|……?.{0,60}……?")


def _english(segment: Segment) -> Sentence:
    raw, text, place, speaker = segment
    cue, num_words, is_pivot, is_moral, shown_by, *rest = read_english(text)
    if not raw.isascii():
        num_words += len(_UNSPACED.findall(raw)) // 2
    fields = (raw, cue, place, num_words, is_pivot, is_moral, shown_by, speaker, *rest)
    return Sentence._make(fields)  # in half the time of a call with twelve arguments


@lru_cache(maxsize=8192)  # rollouts of a group repeat the same sentences
def read_english(text: str) -> tuple[Cue, int, bool, bool, str, str, bool, bool, bool]:
    """Return the fields of `Sentence`, in order, that follow from the wording of an English sentence."""
    known, words = wordings(), words_of(text)
    held = known.held(text, words)
    found = known.find(text, held)
    moral = 0.0 if known.moral.isdisjoint(words) else sum(map(known.moral.__contains__, words)) / len(words)
    cue, shown_by = _cue(text, found, known, moral, held)
    is_known = len(words) < _MIN_UNKNOWN or cue is not Cue.CONTENT or not _ENGLISH.isdisjoint(words)
    marks = ("steps" in found, "imperatives" in found, "hypothetical" in found)
    return (cue, len(words), "pivot" in found, moral > 0, shown_by, "en" if is_known else "und", *marks)


_ORDER = tuple(
    (cue.value, cue)
    for cue in (
        *(Cue.INABILITY, Cue.ATTITUDE, Cue.ANSWER, Cue.DEFINE, Cue.DENY, Cue.CONDEMN),
        *(Cue.DIVERT, Cue.WARN, Cue.CARE, Cue.OFFER, Cue.ADVISE),
    )
)
"""Which cue counts if a sentence has several. The keys are values, because enum members are slow to hash."""
_LAST = tuple((cue.value, cue) for cue in (Cue.APOLOGY, Cue.HEDGE))
"""The same, for cues that count less than words that preach."""


def _cue(text: str, found: dict[str, str], known: Wordings, moral: float, held: int) -> tuple[Cue, str]:
    """Return the cue of an English sentence and the words that show it."""
    if "refuse" in found:
        return Cue.REFUSE, found["refuse"]
    if (announced := known.prefix.match(text)) and (rest := text[announced.end() :]):
        found, text = known.find(rest, held), rest
    for value, cue in _ORDER if found else ():
        if value in found and not (cue is Cue.CONDEMN and _EXPLAINS.search(text)):
            return (Cue.CONTENT, "") if _is_fact(text, cue) else (cue, found[value])
    if moral >= _MIN_MORAL_SHARE and not _EXPLAINS.search(text):
        return Cue.PREACH, ""
    for value, cue in _LAST if found else ():
        if value in found:
            return cue, found[value]
    return Cue.CONTENT, ""


def _is_fact(text: str, cue: Cue) -> bool:
    """Whether a sentence states a fact: where to get help, or that something is not allowed."""
    if cue is Cue.DENY:
        return bool(_YES_OR_NO.match(text))
    return cue in {Cue.CARE, Cue.ADVISE, Cue.OFFER} and _is_contact(text)


def _is_contact(text: str) -> bool:
    """Whether a sentence says where to get help ("the line is 555-0100"), and does not merely urge to seek it."""
    return bool(_NUMBER.search(text)) and not _URGES.search(text)


def _sentence(
    segment: Segment,
    cue: Cue,
    *,
    words: Sequence[str] | None = None,
    is_pivot: bool = False,
    shown_by: str = "",
    language: str = "en",
    is_step: bool = False,
) -> Sentence:
    num_words = len(words if words is not None else words_of(segment.raw))
    if not segment.raw.isascii():
        num_words += len(_UNSPACED.findall(segment.raw)) // 2
    return Sentence(
        segment.raw, cue, segment.place, num_words, is_pivot, False, shown_by, segment.speaker,
        language, is_step,
    )  # fmt: skip
