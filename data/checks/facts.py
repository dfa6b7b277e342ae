"""What is known of one line after it was judged by itself: its faults, and what to compare with other lines."""

from dataclasses import dataclass
from enum import StrEnum


class RowFaultName(StrEnum):
    """What can be wrong with a row; names are stable, so that other programs can count by them."""

    UNREADABLE = "unreadable"
    """Not UTF-8, not JSON, too long, or a file that cannot be read or is empty."""
    NOT_A_ROW = "not-a-row"
    """A field is missing, unknown, or of another type."""
    OTHER_KIND = "other-kind"
    """A row of another kind than the file's first."""
    LABELS = "labels"
    """Labels that contradict one another."""
    PLAN = "plan"
    """A plan that cannot be used, or a prompt that does not contain it."""
    RESPONSE = "response"
    """A chosen response with a fault, or a rejected one without its expected codes."""
    IMAGE = "image"
    """Missing, outside the data folder, not an image, damaged, or too large."""
    SPLIT = "split"
    """A split that does not exist, or that does not belong in this file."""
    QUERY = "query"
    """A query that `queries.jsonl` does not have."""
    DUPLICATE_ID = "duplicate-id"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near-duplicate"
    LEAK = "leak"
    """The same query, or nearly, on two sides."""


WARNINGS = frozenset({RowFaultName.NEAR_DUPLICATE})
"""Names that are reported and counted, but do not fail a check, because templates repeat themselves."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a row."""

    name: RowFaultName
    message: str


@dataclass(frozen=True, slots=True)
class ImageFact:
    """A decoded image."""

    source: str
    digest: bytes
    """Eight bytes of the SHA-256 of its pixels."""
    perceptual: int
    """Perceptual hash, `data.checks.pictures.HASH_BITS` bits: similar pictures differ in few."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One judged line."""

    file: str
    line: int
    num_bytes: int
    faults: tuple[Fault, ...] = ()
    kind: str = ""
    """The row's kind by `data.rows.type_by_name`; "" if it is not a row."""
    id: str = ""
    query_id: str = ""
    split: str = ""
    words: str = ""
    """The user's words, normalised."""
    images: tuple[ImageFact, ...] = ()
    content: bytes = b""
    """Digest of everything that training reads of the row: rows with equal digests are duplicates."""
    traits: tuple[tuple[str, str], ...] = ()
    """(trait, value) to count, such as ("decision", "refuse"); a trait may have several values."""
    lengths: tuple[int, ...] = ()
    """Characters of the response; of a pair, of chosen and rejected."""
    corruption: str = ""
