"""Keys whose values are numbers, fixed-point or whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar

from protocol.keys.key_type import KeyFault, SpecError, check_bounds, shorten, wrong_type
from protocol.keys.literals import LiteralKind, Unread, Value, WrittenLiteral
from protocol.keys.numerals import alternatives, numerals

MAX_NUMERALS = 10_001
MAX_PLACES = 9
MAX_BOUND = 10**15


@dataclass(frozen=True, slots=True)
class Number:
    """A fixed-point number, rounded to `places` decimals when it is read; bounds apply to the rounded number."""

    name: ClassVar[str] = "number"
    minimum: float = 0.0
    maximum: float = 1.0
    places: int = 2

    def __post_init__(self) -> None:
        """Check the bounds, and that the grammar can spell the range."""
        if not all(type(bound) in (int, float) for bound in (self.minimum, self.maximum)):
            raise SpecError(f"{self.name}: expected numbers, found {self.minimum!r} and {self.maximum!r}")
        if not all(-MAX_BOUND <= bound <= MAX_BOUND for bound in (self.minimum, self.maximum)):
            found = f"{shorten(repr(self.minimum))} and {shorten(repr(self.maximum))}"
            raise SpecError(f"{self.name}: expected bounds from -{MAX_BOUND} to {MAX_BOUND}, found {found}")
        check_bounds(self.name, self.minimum, self.maximum)
        if type(self.places) is not int or not 0 <= self.places <= MAX_PLACES:
            raise SpecError(f"{self.name}: expected 0 to {MAX_PLACES} places, found {shorten(repr(self.places))}")
        if (self.maximum - self.minimum) * 10**self.places >= MAX_NUMERALS:
            raise SpecError(
                f"{self.name}: {self.minimum:g} to {self.maximum:g} in {self.places} decimals has more than"
                f" {MAX_NUMERALS - 1} steps; narrow the range or take fewer decimals, so that the grammar can hold it"
            )
        if not numerals(self.minimum, self.maximum, self.places):
            bounds = f"{self.minimum!r} to {self.maximum!r}"
            raise SpecError(f"{self.name}: there is no number from {bounds} with {self.places} decimals")

    def terminal(self) -> str:
        """Exactly the numerals in range, without trailing zeros."""
        return f"/{_numerals_pattern(self.minimum, self.maximum, self.places)}/"

    def describe(self) -> str:
        """Number with its range."""
        kind = "whole number" if self.places == 0 else "number"
        return f"a {kind} from {self.minimum:g} to {self.maximum:g}"

    def placeholder(self) -> str:
        """The range."""
        return f"{self.minimum:g}..{self.maximum:g}"

    def faults(self, literal: WrittenLiteral) -> Iterator[KeyFault]:
        """Not a number (of this kind), or out of range."""
        if not self._is_number(literal):
            yield wrong_type(self, literal)
            return
        value = self._read(literal)
        if value is None or not _exact(self.minimum) <= value <= _exact(self.maximum):
            yield KeyFault("out-of-bounds", f"{shorten(literal.text)} is not {self.describe()}", "", literal)

    def _is_number(self, literal: WrittenLiteral) -> bool:
        return literal.kind is LiteralKind.NUMBER and (self.places > 0 or _is_whole(literal.text))

    def _read(self, literal: WrittenLiteral) -> Decimal | None:
        value = Decimal(literal.text)
        if value.adjusted() > 15:
            return None  # far out of any range that a spec can state; quantising it would raise
        return Decimal(0) if value.adjusted() < -self.places - 1 else round(value, self.places)

    def value(self, literal: WrittenLiteral) -> Value:
        """The number to `places` decimals; an int where there are none."""
        value = self._read(literal) if self._is_number(literal) else None
        if value is None:
            return Unread(literal.text)
        return int(value) if self.places == 0 else float(value) + 0.0

    def schema(self) -> dict[str, Any]:
        """A number with its bounds."""
        kind = "integer" if self.places == 0 else "number"
        return {"type": kind, "minimum": self.minimum, "maximum": self.maximum}


@cache
def _exact(bound: float) -> Decimal:
    """Return the decimal that was written for a bound: 0.1, not the binary fraction just above it."""
    return Decimal(repr(bound))


def _is_whole(numeral: str) -> bool:
    return numeral.lstrip("-").isdigit()


@cache
def _numerals_pattern(minimum: float, maximum: float, places: int) -> str:
    return alternatives(numerals(minimum, maximum, places))


@dataclass(frozen=True, slots=True)
class Integer(Number):
    """A whole number in a range."""

    name: ClassVar[str] = "integer"
    minimum: int = 0
    maximum: int = 10
    places: int = 0
