"""The type of an attack, and the registry of all attacks.

An attack is a way to get undeserved reward that an optimiser may find. It is a function from an `Example` (query, plan,
honest response) to the response that such a policy would write. It returns None where the response would not be wrong,
such as a disclaimer before the answer to a harmless question. It may use the honest response, because the strongest
attack is honest in everything else.

An attack *applies* to a query unless its response equals the honest one: the same calls with the same values and the
same answer. "Refuse everything" does not apply to a query whose correct response is this refusal.
`eval/attacks/constant.py` measures such policies over all queries.
"""

from collections.abc import Callable
from dataclasses import dataclass

from data.corruptions import Example
from protocol import diagnose

Respond = Callable[[Example], str | None]


@dataclass(frozen=True, slots=True)
class Attack:
    """A named way to get undeserved reward."""

    name: str
    about: str
    """Description in one sentence."""
    family: str
    """"form", "trace", "answer", "voices", "judge" or "policy"."""
    respond: Respond

    def attempt(self, example: Example) -> str | None:
        """Return the response of the attack to an example; None if the attack does not apply."""
        text = self.respond(example)
        if text is None or text == example.response.render():
            return None
        return None if _is_honest(text, example) else text


def _is_honest(text: str, example: Example) -> bool:
    """Whether a text has exactly the content of the honest response, perhaps in another valid spelling."""
    verdict = diagnose(text, example.plan)
    return verdict.is_valid and verdict.response == example.response


ATTACKS: dict[str, Attack] = {}


def attack(family: str) -> Callable[[Respond], Respond]:
    """Register an attack under its function's name; its docstring is its description."""

    def register(respond: Respond) -> Respond:
        name, about = respond.__name__, (respond.__doc__ or "").strip()
        if not about or name in ATTACKS:
            raise ValueError(f"attack {name}: needs a docstring and a unique name")
        ATTACKS[name] = Attack(name, about, family, respond)
        return respond

    return register
