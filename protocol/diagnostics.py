"""Diagnostics: located faults of a response, and the registry of their codes (`codes.toml`)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from rich.cells import cell_len

_WINDOW = 200
"""Characters that are shown of a long line."""


class CodeFamily(StrEnum):
    """What a code counts against, by its first letter."""

    STRUCTURE = "S"
    TYPING = "T"
    GRAPH = "G"
    COHERENCE = "C"
    EVIDENCE = "E"

    @property
    def counts_against(self) -> str:
        """The score that a diagnostic of this family lowers."""
        return {CodeFamily.COHERENCE: "coherence", CodeFamily.EVIDENCE: "grounding"}.get(self, "validity")


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the registry."""

    code: str
    """Such as "G302"."""
    name: str
    """Such as "illegal-transition"; the rule's name."""
    summary: str
    explanation: str
    """What it means, why it matters, what to do."""
    example: str
    """A short response, or part of one, with the fault."""

    @property
    def family(self) -> CodeFamily:
        """The family, by the first letter."""
        return CodeFamily(self.code[0])


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One located fault of a response."""

    code: str
    message: str
    line: int
    """Counted from 1."""
    column: int
    """Counted from 1, in code points."""
    expected: str = ""
    hint: str = ""

    @property
    def family(self) -> CodeFamily:
        """The family, by the first letter of the code."""
        return CodeFamily(self.code[0])

    @property
    def is_fatal(self) -> bool:
        """Whether it makes the response invalid."""
        return self.family.counts_against == "validity"

    def to_json(self) -> dict[str, Any]:
        """Return the diagnostic as a JSON object."""
        return {
            "code": self.code,
            "message": self.message,
            "line": self.line,
            "column": self.column,
            "expected": self.expected,
            "hint": self.hint,
        }


@cache
def codes() -> Mapping[str, Code]:
    """Return the registry, by code, in order."""
    text = files("protocol").joinpath("codes.toml").read_text(encoding="utf-8")
    return {code: Code(code=code, **entry) for code, entry in tomllib.loads(text).items()}


def explain(code: str) -> str:
    """Return the documentation of a code.

    Raises:
        KeyError: the code does not exist.
    """
    entry = codes()[code]
    example = "\n".join(f"    {line}" for line in entry.example.strip().splitlines())
    return (
        f"{entry.code} {entry.name}: {entry.summary}\n(counts against {entry.family.counts_against})\n\n"
        f"{entry.explanation.strip()}\n\nExample:\n\n{example}\n"
    )


def show(diagnostic: Diagnostic, text: str) -> str:
    """Return a diagnostic for people: place, message, the line with a caret, what was expected, a hint."""
    lines = _lines(text)
    line, column = lines[diagnostic.line - 1] if diagnostic.line <= len(lines) else "", diagnostic.column - 1
    start = max(0, column - _WINDOW // 2) if len(line) > _WINDOW else 0
    line, column = line[start : start + _WINDOW], column - start
    # The caret is in the right column only if the same tabs stand before it, and a blank for each cell of a letter.
    indent = "\t".join(" " * cell_len(part) for part in printable(line[:column]).split("\t"))
    parts = [f"{diagnostic.line}:{diagnostic.column}: {diagnostic.code} {diagnostic.message}"]
    parts += [f"    {line}", f"    {indent}^"] if line else []
    parts += [f"    expected: {diagnostic.expected}"] if diagnostic.expected else []
    parts += [f"    hint: {diagnostic.hint}"] if diagnostic.hint else []
    return "\n".join(map(printable, parts))


@lru_cache(maxsize=1)  # a response with many faults is split once
def _lines(text: str) -> list[str]:
    return text.split("\n")


def printable(line: str) -> str:
    """Return a line of the same length without characters that control a terminal."""
    return "".join(letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in line)
