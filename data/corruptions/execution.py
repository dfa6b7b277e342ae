"""How a tool is called: its keys and their values."""

from random import Random

from data.corruptions.edits import replaced, with_value
from data.corruptions.registry import Example, corruption
from protocol import Word


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
    return with_value(example, rng, Word, str)


@corruption("execution", "T206")
def overlong_text(example: Example, rng: Random) -> str | None:
    """Repeat a text until it is longer than its key allows."""
    return with_value(example, rng, str, lambda text: (text + " and so on") * 15)


@corruption("execution", "T207")
def invented_word(example: Example, rng: Random) -> str | None:
    """Use a word that the key does not have."""
    return with_value(example, rng, Word, lambda _: Word("unclear"))
