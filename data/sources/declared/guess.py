"""Guesses the mapping of a set without a declaration: which column holds what, from names and values.

A guess is written as the YAML of a source, with its evidence, so that the user can read, correct and reuse it. The
values must support a guess: a column counts as labels only if every value that was read has a known meaning.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import yaml

from data.sources.declared.expressions import normalized
from data.sources.reading.records import Record, SourceError, Unreadable
from protocol.labels import Decision, Risk
from toolkit.catalogue import CATEGORIES

NUM_LOOKED_AT = 200
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_TEXT = ("question", "text", "prompt", "instruction", "query", "request", "user", "problem", "input", "caption")
_IMAGE = ("image", "images", "image_path", "picture", "pictures", "img", "file_name", "filename", "path", "file")
_ANSWER = ("response", "answer", "output", "completion", "reply", "chosen", "solution")
_SPLITS = {"train": "train", "training": "train", "validation": "validation", "val": "validation", "dev": "validation"}
_SPLITS |= {"valid": "validation", "test": "test", "eval": "test"}
_YES, _NO = {"true", "1", "yes", "1.0"}, {"false", "0", "no", "0.0"}
_SAFE = {"safe", "harmless", "benign", "ok", "0-safe"}
_UNSAFE = {"unsafe", "harmful", "toxic", "malicious", "dangerous"}
_RISKS: dict[str, tuple[str, ...]] = {
    "image_risk": ("image_risk", "image_tag", "image_safety", "picture_risk", "image_label", "is_image_safe"),
    "text_risk": ("text_risk", "text_tag", "text_safety", "question_risk", "text_label", "is_text_safe"),
    "combined_risk": (
        "combined_risk",
        "combine_tag",
        "combined_tag",
        "risk",
        "safety",
        "label",
        "safe",
        "is_safe",
        "unsafe",
        "is_unsafe",
        "harmful",
        "is_harmful",
    ),
}
_ABOUT_HARM = ("unsafe", "harm")
"""Words in a column's name that say that "yes" means unsafe."""


@dataclass(slots=True)
class Guess:
    """A mapping and its evidence."""

    row: dict[str, Any] = field(default_factory=dict)
    split: str | None = None
    splits: dict[str, str] = field(default_factory=dict)
    used: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Field of the query -> (column, its first value as an example)."""
    unused: list[str] = field(default_factory=list)
    """Columns that the mapping does not use."""

    def to_yaml(self, name: str, command: str) -> str:
        """Return the source's YAML; its first comment says what was guessed and how to correct it."""
        found = {"name": name, "licence": "unknown", "citation": "unknown"}
        source: dict[str, Any] = {**found, **({"splits": self.splits, "split": self.split} if self.split else {})}
        source["rows"] = [self.row]
        head = ["Guessed from the columns. Correct what is wrong, delete the data folder, and give the same command:"]
        head += [f"    {command}", "`tritrace data sources --show vlguard` shows what a declaration may contain."]
        head += [f"{what}: column {column}, such as {example}" for what, (column, example) in self.used.items()]
        head += [f"not used: {', '.join(self.unused)}"] if self.unused else []
        body = yaml.safe_dump(source, sort_keys=False, allow_unicode=True)
        return "".join(f"# {line}\n" for line in head) + body


def guess(found: Iterable[Record | Unreadable], where: str, question: str = "") -> Guess:
    """Guess the meaning of the columns of a set from its first records.

    Args:
        found: the first records of the set.
        where: name of the set in messages.
        question: the question to ask about every picture if no column holds questions.

    Raises:
        SourceError: there are no records, or there is no column of words and no question was given.
    """
    records = [each for each in islice(found, NUM_LOOKED_AT) if isinstance(each, Record)]
    if not records:
        raise SourceError(f"{where}: no record could be read; expected a row a query, under the names of the columns")
    columns: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.values.items():
            columns.setdefault(str(name), []).append(value)
    guessed = Guess()
    image = _first(columns, _IMAGE, _are_pictures) or next((n for n, v in columns.items() if _are_pictures(v)), None)
    text = _first(columns, _TEXT, _are_words) or (None if question else _longest(columns, image))
    guessed.row["kind"] = "own"
    if text is not None:
        guessed.row["text"] = text
        guessed.used["the question"] = (text, _shown(columns[text]))
    elif question:
        guessed.row["text"] = {"value": question}
    else:
        raise SourceError(
            f"{where}: no column holds questions; found {', '.join(columns)}\n"
            "hint: call the column of questions `question`; --question TEXT asks the same of every picture; a folder "
            "of pictures can have a metadata.csv with file_name and question"
        )
    if image is not None:
        guessed.row["images"] = [{"optional": image}]
        guessed.used["the picture"] = (image, _shown(columns[image]))
    _labels(columns, guessed)
    _answer(columns, guessed)
    _split(columns, guessed)
    taken = {column for column, _ in guessed.used.values()}
    guessed.unused = [name for name in columns if name not in taken]
    return guessed


def _labels(columns: Mapping[str, Sequence[Any]], guessed: Guess) -> None:
    labels: dict[str, Any] = {}
    for label, names in _RISKS.items():
        for name in names:
            meaning = _risks(name, columns[name]) if name in columns else None
            if meaning:
                labels[label] = {"column": name, "map": meaning, "default": None}
                guessed.used[label] = (name, _shown(columns[name]))
                break
    for label, names, known in (
        ("decision", ("decision", "expected", "action"), {str(each): str(each) for each in Decision}),
        ("category", ("category", "harm_category", "class"), {each: each for each in CATEGORIES}),
    ):
        column = next((name for name in names if name in columns and _values(columns[name]) <= set(known)), None)
        if column is not None:
            labels[label] = {"column": column, "map": {v: known[v] for v in sorted(_values(columns[column]))}}
            labels[label]["default"] = None
            guessed.used[label] = (column, _shown(columns[column]))
    if labels:
        guessed.row["labels"] = labels


def _risks(name: str, values: Sequence[Any]) -> dict[str, str] | None:
    """Return the risk that each value of a column means; None if a value has no known meaning."""
    is_about_harm = any(part in name for part in _ABOUT_HARM)
    yes, no = (Risk.UNSAFE, Risk.SAFE) if is_about_harm else (Risk.SAFE, Risk.UNSAFE)
    is_telling = name not in {"label", "risk"} and not name.endswith(("_tag", "_label", "_risk"))
    meaning = dict.fromkeys(_SAFE, str(Risk.SAFE)) | dict.fromkeys(_UNSAFE, str(Risk.UNSAFE))
    if is_telling:  # in a column named just "label", 1 may mean anything
        meaning |= dict.fromkeys(_YES, str(yes)) | dict.fromkeys(_NO, str(no))
    found = _values(values)
    return {value: meaning[value] for value in sorted(found)} if found and found <= set(meaning) else None


def _answer(columns: Mapping[str, Sequence[Any]], guessed: Guess) -> None:
    taken = {column for column, _ in guessed.used.values()}
    column = next(
        (name for name in _ANSWER if name in columns and name not in taken and _are_words(columns[name])), None
    )
    if column is not None:
        guessed.row["answers"] = {"reference": column}
        guessed.used["an answer"] = (column, _shown(columns[column]))


def _split(columns: Mapping[str, Sequence[Any]], guessed: Guess) -> None:
    if "split" in columns and (found := _values(columns["split"])) and found <= set(_SPLITS):
        guessed.split = "split"
        written = {str(value) for value in columns["split"]}
        guessed.splits = {value: _SPLITS[normalized(value)] for value in sorted(written)}
        guessed.used["the split"] = ("split", _shown(columns["split"]))


def _first(
    columns: Mapping[str, Sequence[Any]], names: Iterable[str], fits: Callable[[Sequence[Any]], bool]
) -> str | None:
    by_name = {name.casefold(): name for name in columns}
    return next((by_name[name] for name in names if name in by_name and fits(columns[by_name[name]])), None)


def _longest(columns: Mapping[str, Sequence[Any]], image: str | None) -> str | None:
    """Return the column with the longest texts of more than one word that every record has, or None."""
    most = max(map(len, columns.values()), default=0)
    whole = {n: vs for n, vs in columns.items() if n != image and len(vs) == most and all(vs)}
    words = {n: sum(len(str(v)) for v in vs) / len(vs) for n, vs in whole.items() if _are_words(vs)}
    words = {name: length for name, length in words.items() if any(" " in str(each).strip() for each in columns[name])}
    return max(words, key=lambda name: words[name], default=None)


def _are_words(values: Sequence[Any]) -> bool:
    filled = [each for each in values if each]
    return bool(filled) and all(isinstance(each, str) for each in filled) and not _are_pictures(filled)


def _are_pictures(values: Sequence[Any]) -> bool:
    filled = [each for each in values if each]
    return bool(filled) and all(map(_is_picture, filled))


def _is_picture(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_picture, value))
    if isinstance(value, Mapping):
        return {"bytes", "path"} <= set(value)
    if not isinstance(value, str):
        return isinstance(value, bytes)
    return value.startswith("data:image/") or PurePosixPath(value).suffix.lower() in _PICTURES


def _values(values: Sequence[Any]) -> set[str]:
    return {normalized(each) for each in values if each is not None and each != ""}


def _shown(values: Sequence[Any]) -> str:
    value = next((each for each in values if each not in (None, "")), "")
    text = "a picture" if isinstance(value, bytes | Mapping) else " ".join(str(value).split())
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
