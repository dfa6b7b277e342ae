"""Extracts the features of an answer for the linear model: its words, their places, and the cues of its sentences.

A feature is a name that is present or absent; its number of occurrences does not matter. There are features for:

* words, whole and by their first letters, and pairs of words;
* words at the beginning of a sentence, and in the first two sentences;
* words in sentences in which the speaker speaks of themselves and denies something;
* the cues of the sentences (`acts`) and their share of the words read;
* the parts of the answer: lists, code, speakers, numbers.

Only the first `HEAD` and the last `TAIL` sentences are read.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice, pairwise

from protocol.stance.reading.segments import Place
from protocol.stance.reading.sentences import Cue, Sentence
from protocol.stance.substance import PREFACE, informs, is_factual, words_of_substance

HEAD, TAIL = 12, 3
"""Number of sentences at the beginning, and at the end, that are read."""
MAX_WORDS = 40
"""Words read of each sentence."""
STEM = 5
"""The first letters that represent all forms of a longer word."""
NUM_OPENING = 2
"""Number of sentences whose words also count by their place."""
_WORD = re.compile(r"[぀-ヿ一-鿿]|[^\W_぀-ヿ一-鿿]+|\.\.\.|[?!:]")
_MARKS = "?!:"
_SPACED = bytes(code if chr(code).isalnum() or chr(code) in _MARKS else ord(" ") for code in range(256))
_DENYING = frozenset({
    *("no", "not", "never", "nobody", "nor", "nothing", "none", "without", "refuse", "decline", "unable"),
    *("nicht", "kein", "keine", "keinen", "nein", "nichts", "nie", "pas", "jamais", "rien"),
    *("aucun", "nunca", "nada", "tampoco", "non"),
    *("nessuno", "niente", "não", "nenhum", "niet", "geen", "nee", "не", "нет", "никогда"),
    *("ничего", "不", "无", "没", "拒"),
})  # fmt: skip
_SPEAKER = frozenset({
    *("i", "me", "my", "we", "our", "myself", "us", "ich", "mir", "mich", "mein", "meine", "wir"),
    *("je", "moi", "mon", "ma", "mes", "nous"),
    *("yo", "mi", "mis", "io", "eu", "meu", "minha", "ik", "mij", "mijn", "я", "мне", "мы"),
    *("мой", "ja", "我", "我们"),
})  # fmt: skip
_READER = frozenset({
    *("you", "your", "yourself", "du", "dir", "dich", "sie", "ihnen", "tu", "te", "toi", "vous", "votre"),
    *("tú", "ti", "usted", "você", "vi", "je", "jij"),
    *("u", "uw", "вы", "вам", "тебе", "ты", "你", "您"),
})  # fmt: skip
"""These words are of all known languages: so the model learns from one language for the others."""
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.95)
_PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)
_NUM_SENTENCES = (1, 2, 4, 8)
_NUM_WORDS = (6, 12, 25, 60, 120)
_FLAG_SHARES = (0.3, 0.6, 0.9)


def features(sentences: Sequence[Sentence]) -> set[str]:
    """Return the names of the features of an answer with at least one sentence."""
    num = len(sentences)
    read = sentences if num <= HEAD + TAIL else [*sentences[:HEAD], *sentences[-TAIL:]]
    found = _of_cues(read, num)
    flags: dict[str, int] = {}
    for place, each in enumerate(read):
        words = words_of(each.text)
        pairs = list(map(" ".join, pairwise(words)))
        found.update(words, pairs, [word[:STEM] + "-" for word in words if len(word) > STEM])
        found.add("^" + " ".join(words[:2]))
        found.add("^" + " ".join(words[:3]))
        if place < NUM_OPENING:
            found.update([f"{place}:{each}" for each in (*words, *pairs)])
        flag = _flag(words)
        flags[flag] = flags.get(flag, 0) + 1
        found.add(f"#{min(place, 3)}{flag}")
        if flag[:2] == "IN":
            found.update(["IN:" + word for word in words])
    for flag, count in flags.items():
        found.add(f"#{flag}")
        found.update(_reached(f"#{flag}", _FLAG_SHARES, count / len(read)))
    return found


def words_of(text: str) -> list[str]:
    """Return the words of a sentence; contractions are written out.

    >>> words_of("I can't, and I'm sorry: cannot.")
    ['i', 'can', 'not', 'and', 'i', 'm', 'sorry', ':', 'can', 'not']
    """
    text = text.lower()
    if "n't" in text:
        text = text.replace("can't", "can not").replace("won't", "will not").replace("n't", " not")
    text = text.replace("cannot", "can not")
    if not text.isascii() or "..." in text:
        return _WORD.findall(text)[:MAX_WORDS]
    for mark in _MARKS:  # the same, in a quarter of the time
        text = text.replace(mark, f" {mark} ")
    return text.encode().translate(_SPACED).decode().split(None, MAX_WORDS)[:MAX_WORDS]


def _flag(words: Iterable[str]) -> str:
    """Return flags of a sentence: it mentions the speaker (I), denies something (N), addresses the reader (Y)."""
    held = set(words)
    return (
        ("-" if held.isdisjoint(_SPEAKER) else "I")
        + ("-" if held.isdisjoint(_DENYING) else "N")
        + ("-" if held.isdisjoint(_READER) else "Y")
    )


def _of_cues(sentences: Sequence[Sentence], num: int) -> set[str]:
    total = sum(each.num_words for each in sentences) or 1
    words: dict[str, int] = {}
    for each in sentences:
        name = each.cue.value  # an enum member is slow to hash
        words[name] = words.get(name, 0) + each.num_words
    found = {f"={cue}" for cue in words}
    for cue, count in words.items():
        found.update(_reached(f"={cue}", _SHARES, count / total))
    opening = islice((each.cue for each in sentences if each.cue not in PREFACE), 3)
    found.update([f"={place}{cue.value}" for place, cue in enumerate(opening)])
    found.add(f"=last {sentences[-1].cue.value}")
    found.update(f"=sentences>{least}" for least in _NUM_SENTENCES if num > least)
    found.update(f"=words>{least}" for least in _NUM_WORDS if total > least)
    substance = [(each, count) for each, count in zip(sentences, words_of_substance(sentences), strict=True) if count]
    for name, count in (
        ("substance", sum(count for _, count in substance)),
        ("informs", sum(count for each, count in substance if informs(each))),
        ("facts", sum(count for each, count in substance if is_factual(each))),
    ):
        found.update(_reached(f"={name}", _PARTS, count / total))
    return found | _of_shape(sentences)


def _of_shape(sentences: Sequence[Sentence]) -> set[str]:
    places, cues = [each.place for each in sentences], [each.cue for each in sentences]
    refusing = [cue is Cue.REFUSE for cue in cues]
    marks = {
        "=step": True in [each.is_step for each in sentences],
        "=imperative": True in [each.is_imperative for each in sentences],
        "=fiction": True in [each.is_hypothetical for each in sentences],
        "=turn": True in [each.is_pivot for each in sentences[1:]],
        "=code": Place.CODE in places,
        "=quotation": Place.QUOTATION in places,
        "=refuses first": True in refusing[:NUM_OPENING],
        "=refuses later": True in refusing[NUM_OPENING:],
    }
    found = {name for name, is_there in marks.items() if is_there}
    found.add(f"=items {min(4, places.count(Place.ITEM))}")
    found.add(f"=speakers {min(3, len({each.speaker for each in sentences}))}")
    return found


def _reached(name: str, levels: tuple[float, ...], share: float) -> list[str]:
    return _levels(name, levels)[: bisect_right(levels, share)]


@cache  # there are few names, and a number is slow to write
def _levels(name: str, levels: tuple[float, ...]) -> list[str]:
    return [f"{name}>{level}" for level in levels]
