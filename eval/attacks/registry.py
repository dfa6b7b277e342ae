"""What an attack is, and the registry of all.

An attack is a way to look good that an optimiser may find: a function from an `Example` (query, plan, honest response)
to the response that a policy which has found it would write, or None where the attack would be no wrong there (a
disclaimer before an answer to a harmless question). It may use the honest response, because the strongest form of an
attack is otherwise honest.

An attack *applies* to a query unless its response is the honest one: the same calls with the same values and the same
answer. "Refuse everything" is no attack on a query that is rightly refused, in the reference's own words. What it is
worth as a policy, on all queries, is asked in `eval/attacks/constant.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from data.corruptions import Example
from protocol import diagnose

Respond = Callable[[Example], str | None]


@dataclass(frozen=True, slots=True)
class Attack:
    """A named way to look good."""

    name: str
    about: str
    """What it does, in one sentence."""
    family: str
    """"form", "trace", "answer", "voices", "judge" or "policy"."""
    respond: Respond

    def attempt(self, example: Example) -> str | None:
        """Return the attacking response to an example, or None where the attack does not apply."""
        text = self.respond(example)
        if text is None or text == example.response.render():
            return None
        return None if _is_honest(text, example) else text


def _is_honest(text: str, example: Example) -> bool:
    """Whether a text says exactly what the honest response says, in another spelling that the reader takes as valid."""
    verdict = diagnose(text, example.plan)
    return verdict.is_valid and verdict.response == example.response


ATTACKS: dict[str, Attack] = {}


def attack(family: str) -> Callable[[Respond], Respond]:
    """Register an attack under its function's name; its docstring says what it does."""

    def register(respond: Respond) -> Respond:
        name, about = respond.__name__, (respond.__doc__ or "").strip()
        if not about or name in ATTACKS:
            raise ValueError(f"attack {name}: needs a docstring and a name of its own")
        ATTACKS[name] = Attack(name, about, family, respond)
        return respond

    return register
