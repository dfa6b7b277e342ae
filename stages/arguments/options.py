"""What stands beside an option, in the annotation of its field: bounds, and what it means for a stage's identity.

    lora_r: Annotated[int, COUNT] = 16
    card_gib: Annotated[float | None, POSITIVE, COSMETIC] = None

TRL's parser reads dataclasses without their annotations, so that it sees plain types.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, TypeVar, get_args, get_type_hints

MarkT = TypeVar("MarkT")


@dataclass(frozen=True, slots=True)
class Bound:
    """What a number has to be; None is not a number and is let through."""

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
    """Changes where things are, how they are shown or how much memory they take, but not what they are."""


@dataclass(frozen=True, slots=True)
class Neutral:
    """Changes nothing at its default: a stage made before there was the key is the same stage."""


@dataclass(frozen=True, slots=True)
class With:
    """Changes nothing unless another key has one of some values."""

    key: str
    values: frozenset[Any]


COSMETIC: Final = Cosmetic()
NEUTRAL: Final = Neutral()


@cache
def marked(options: type, mark: type[MarkT]) -> Mapping[str, MarkT]:
    """Return the marks of a kind beside the fields of a dataclass, by the field's name."""
    hints = get_type_hints(options, include_extras=True)
    return {
        each.name: found
        for each in fields(options)
        for found in get_args(hints[each.name])[1:]
        if isinstance(found, mark)
    }


def out_of_bounds(options: Any, names: Iterable[str] | None = None) -> Iterator[str]:
    """Yield a problem for each field of a dataclass whose number is out of its bounds.

    Args:
        options: an instance.
        names: the fields that are looked at; by default all.
    """
    for name, bound in marked(options.__class__, Bound).items():
        value = getattr(options, name)
        if (names is None or name in names) and value is not None and not bound.holds(value):
            yield f"{name}: expected {bound.expected}, found {value if isinstance(value, int) else f'{value:g}'}"


def without_effect(options: type, recipe: Mapping[str, Any]) -> set[str]:
    """Return the keys of a resolved recipe that change nothing, as they are.

    Args:
        options: the dataclass that declares the keys.
        recipe: values by key; a key that is not there has its default.
    """
    default = {each.name: each.default for each in fields(options)}
    value_of = {name: recipe.get(name, default[name]) for name in default}
    found = {name for name in marked(options, Neutral) if value_of[name] == default[name]}
    return found | {name for name, needed in marked(options, With).items() if value_of[needed.key] not in needed.values}
