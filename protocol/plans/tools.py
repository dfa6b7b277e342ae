"""Virtual tools: a name, a phase, and typed keys. Nothing is executed; a call is the model's own typed statement."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from protocol.keys.key_type import SpecError
from protocol.keys.types import AnyKeyType, Enum, Text, type_from_json, type_to_json
from protocol.labels import Decision

_TOOL_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*\Z")
_KEY_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


class Phase(StrEnum):
    """What a call does; phases follow one another in this order."""

    PERCEPTION = "Perception"
    REASONING = "Reasoning"
    DECISION = "Decision"

    @property
    def rank(self) -> int:
        """Position in the order of phases."""
        return _ranks[self]


_ranks = {phase: rank for rank, phase in enumerate(Phase)}


class Role(StrEnum):
    """What a key states about the query, so that rules compare keys by meaning and not by name."""

    OBJECTS = "objects"
    WRITTEN_TEXT = "written_text"
    IMAGE_RISK = "image_risk"
    TEXT_RISK = "text_risk"
    COMBINED_RISK = "combined_risk"
    CATEGORY = "category"
    RISK_SCORE = "risk_score"
    DECISION = "decision"


@dataclass(frozen=True, slots=True)
class Key:
    """One typed key of a tool."""

    name: str
    type: AnyKeyType
    about: str = ""
    """What to write, in a few words; goes into the prompt."""
    role: Role | None = None
    """What the value states, where a rule reads it."""

    def __post_init__(self) -> None:
        """Check the name."""
        if not _KEY_NAME.match(self.name):
            raise SpecError(f"key {self.name!r}: expected lower-case letters, digits and underscores")


@dataclass(frozen=True)
class Tool:
    """A virtual tool."""

    name: str
    phase: Phase
    keys: tuple[Key, ...]
    about: str = ""
    """What the call is for, in one sentence; goes into the prompt."""
    implies: Decision | None = None
    """The decision that calling this tool states by itself."""

    def __post_init__(self) -> None:
        """Check the name and the keys."""
        if not _TOOL_NAME.match(self.name):
            raise SpecError(f"tool {self.name!r}: expected capitals and digits in groups joined by hyphens")
        if not self.keys:
            raise SpecError(f"tool {self.name}: has no keys; give it at least one")
        names = [key.name for key in self.keys]
        if twice := {name for name in names if names.count(name) > 1}:
            raise SpecError(f"tool {self.name}: declares the key {min(twice)!r} twice")

    def key(self, name: str) -> Key | None:
        """Return the key of that name, or None."""
        return self.by_name.get(name)

    @cached_property
    def by_name(self) -> dict[str, Key]:
        """Each key by name."""
        return {key.name: key for key in self.keys}

    @property
    def states_decision(self) -> bool:
        """Whether a call says what is decided."""
        return self.implies is not None or any(key.role is Role.DECISION for key in self.keys)

    def allows(self, decision: Decision) -> bool:
        """Whether a call can be made without stating another decision."""
        stated = [key.type for key in self.keys if key.role is Role.DECISION]
        words = [key_type.words for key_type in stated if isinstance(key_type, Enum)]
        return self.implies in {None, decision} and all(decision in each for each in words)

    def to_json(self) -> dict[str, Any]:
        """Return the tool as a JSON object."""
        keys = [{"name": key.name, **type_to_json(key.type), "about": key.about, "role": key.role} for key in self.keys]
        return {
            "name": self.name,
            "phase": self.phase,
            "keys": keys,
            "about": self.about,
            "implies": self.implies,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Tool":
        """Read a tool.

        Raises:
            SpecError: a part is missing, unknown, or impossible; the message names the tool.
        """
        try:
            phase = Phase(record["phase"])
            keys = tuple(_key_from_json(key) for key in record["keys"])
            implies = record.get("implies")
            decision = None if implies is None else Decision(implies)
            return cls(record["name"], phase, keys, record.get("about") or "", decision)
        except KeyError as error:
            raise SpecError(f"tool {record.get('name', '?')}: the field {error} is missing") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise SpecError(f"tool {record.get('name', '?')}: {error}") from None


def _key_from_json(record: Mapping[str, Any]) -> Key:
    about, role = record.get("about") or "", record.get("role")
    rest = {name: value for name, value in record.items() if name not in {"name", "about", "role"}}
    return Key(record["name"], type_from_json(rest), about, None if role is None else Role(role))


def custom_tool(name: str, phase: Phase) -> Tool:
    """Return a tool outside any catalogue, as the published reference lets a model use: one free `note`."""
    return Tool(name, phase, (Key("note", Text(200), "anything worth noting"),), "A custom check.")
