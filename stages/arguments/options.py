"""Marks in the annotation of an option's field: its bounds, and whether it is part of a stage's identity.

    lora_r: Annotated[int, COUNT] = 16
    card_gib: Annotated[float | None, POSITIVE, COSMETIC] = None

TRL's parser reads the dataclasses without these marks and sees plain types.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_type_hints

MarkT = TypeVar("MarkT")


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound for a number; None is always accepted."""

    expected: str
    """In words, such as "1 or more"."""
    holds: Callable[[float], bool]


COUNT: Final = Bound("1 or more", lambda value: value >= 1)
POSITIVE: Final = Bound("more than 0", lambda value: value > 0)
SECONDS: Final = Bound("more than 0 seconds", lambda value: value > 0)
SHARE: Final = Bound("a share from 0 to 1", lambda value: 0 <= value <= 1)
PART: Final = Bound("a share from 0 to below 1", lambda value: 0 <= value < 1)
REWARD: Final = Bound("0 to 1", lambda value: 0 <= value <= 1)


@dataclass(frozen=True, slots=True)
class Cosmetic:
    """The option changes places, display or memory use, but not the result of training."""


@dataclass(frozen=True, slots=True)
class Neutral:
    """The option changes nothing at its default. So a stage that was made before the option existed is the same."""


@dataclass(frozen=True, slots=True)
class With:
    """The option has an effect only if another key has one of the given values."""

    key: str
    values: frozenset[Any]


COSMETIC: Final = Cosmetic()
NEUTRAL: Final = Neutral()


@cache
def marked(options: type, mark: type[MarkT]) -> Mapping[str, MarkT]:
    """Return the marks of one type in a dataclass, by the field's name."""
    hints = get_type_hints(options, include_extras=True)
    return {
        each.name: found
        for each in fields(options)
        for found in get_args(hints[each.name])[1:]
        if isinstance(found, mark)
    }


def out_of_bounds(options: Any, names: Iterable[str] | None = None) -> Iterator[str]:
    """Yield a message for each field of a dataclass whose number is out of bounds.

    Args:
        options: an instance.
        names: the fields to check; by default all.
    """
    for name, bound in marked(options.__class__, Bound).items():
        value = getattr(options, name)
        if (names is None or name in names) and value is not None and not bound.holds(value):
            yield f"{name}: expected {bound.expected}, found {value if isinstance(value, int) else f'{value:g}'}"


def without_effect(options: type, recipe: Mapping[str, Any]) -> set[str]:
    """Return the keys of a resolved recipe whose values have no effect on the result.

    Args:
        options: the dataclass that declares the keys.
        recipe: values by key; a missing key has its default.
    """
    default = {each.name: each.default for each in fields(options)}
    value_of = {name: recipe.get(name, default[name]) for name in default}
    found = {name for name in marked(options, Neutral) if value_of[name] == default[name]}
    return found | {name for name, needed in marked(options, With).items() if value_of[needed.key] not in needed.values}
