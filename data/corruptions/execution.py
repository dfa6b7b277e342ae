"""How a tool is called: its keys and their values."""

from random import Random

from data.corruptions.edits import Slot, replaced, typed_slots, with_slot
from data.corruptions.registry import Example, corruption
from protocol import Word
from protocol.keys.numbers import Number
from protocol.keys.types import Enum, List, Text


@corruption("execution", "T202")
def invented_key(example: Example, rng: Random) -> str | None:
    """Add a key that the tool does not declare."""
    place = rng.randrange(len(example.calls))
    return replaced(example, place, args={**example.calls[place].args, "remark": "noted"})


@corruption("execution", "T203")
def missing_key(example: Example, rng: Random) -> str | None:
    """Leave a key out."""
    place = rng.randrange(len(example.calls))
    args = dict(example.calls[place].args)
    del args[rng.choice(list(args))]
    return replaced(example, place, args=args)


@corruption("execution", "T204")
def repeated_key(example: Example, rng: Random) -> str | None:
    """State a key twice."""
    line = rng.choice(example.calls).render()
    return example.response.render().replace(line, f"{line}; {line.split(']: ', 1)[1].split('; ')[0]}", 1)


@corruption("execution", "T205")
def quoted_word(example: Example, rng: Random) -> str | None:
    """Put quotes around an enum word."""
    return with_slot(example, rng, typed_slots(example, Enum), lambda slot: str(slot.value))


@corruption("execution", "T206")
def overlong_text(example: Example, rng: Random) -> str | None:
    """Repeat a text until it is longer than its key allows."""
    slots = [slot for slot in typed_slots(example, Text) if slot.value]
    return with_slot(example, rng, slots, _overlong)


def _overlong(slot: Slot) -> str:
    text = f"{slot.value} and so on"
    limit = slot.key.type.max_length if isinstance(slot.key.type, Text) else 0
    return text * max(15, limit // len(text) + 1)


@corruption("execution", "T207")
def invented_word(example: Example, rng: Random) -> str | None:
    """Use a word that the key does not have."""
    slots = [slot for slot in typed_slots(example, Enum) if "unclear" not in getattr(slot.key.type, "words", ())]
    return with_slot(example, rng, slots, lambda _: Word("unclear"))


@corruption("execution", "T202", is_balancing=True)
def misspelt_key(example: Example, rng: Random) -> str | None:
    """Swap the last two letters of a key."""
    slots = [
        (place, name, name[:-2] + name[-1] + name[-2])
        for place, call in enumerate(example.calls)
        for name in call.args
        if len(name) > 3 and name[-1] != name[-2]
    ]
    slots = [slot for slot in slots if slot[2] not in example.plan.by_name[example.calls[slot[0]].tool].by_name]
    if not slots:
        return None
    place, old, new = rng.choice(slots)
    args = {new if name == old else name: value for name, value in example.calls[place].args.items()}
    return replaced(example, place, args=args)


@corruption("execution", "T205", is_balancing=True)
def unquoted_text(example: Example, rng: Random) -> str | None:
    """Leave the quotes of a text out, where it is one word."""
    slots = [slot for slot in typed_slots(example, Text) if Word.is_bare(str(slot.value))]
    slots = [slot for slot in slots if slot.value not in {"true", "false"}]
    return with_slot(example, rng, slots, lambda slot: Word(slot.value))


@corruption("execution", "T205", is_balancing=True)
def unlisted_item(example: Example, rng: Random) -> str | None:
    """Write the one item of a list without its brackets."""
    slots = [slot for slot in typed_slots(example, List) if isinstance(slot.value, tuple) and len(slot.value) == 1]
    return with_slot(example, rng, slots, lambda slot: slot.value[0])


@corruption("execution", "T205", is_balancing=True)
def worded_number(example: Example, rng: Random) -> str | None:
    """Write a word in place of a number."""
    slots = typed_slots(example, Number)
    return with_slot(example, rng, slots, lambda _: Word(rng.choice(("low", "high"))))


@corruption("execution", "T206", is_balancing=True)
def emptied_text(example: Example, rng: Random) -> str | None:
    """Write nothing where a text has to say something."""
    slots = [
        slot for slot in typed_slots(example, Text) if isinstance(slot.key.type, Text) and slot.key.type.min_length
    ]
    return with_slot(example, rng, slots, lambda _: "")


@corruption("execution", "T206", is_balancing=True)
def number_off_the_scale(example: Example, rng: Random) -> str | None:
    """Give a number on a scale of its own."""
    above = rng.choice((1, 9))
    return with_slot(example, rng, typed_slots(example, Number), lambda slot: _maximum(slot) + above)


def _maximum(slot: Slot) -> float:
    return slot.key.type.maximum if isinstance(slot.key.type, Number) else 0.0
