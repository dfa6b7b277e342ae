"""The fields of a request that a server refuses: recognised by its error, remembered for the server, and left out.

OpenAI-compatible servers differ in what they take: newer models of OpenAI want `max_completion_tokens` and no
temperature but 1, others know no `seed`, or no JSON Schema to constrain by. Each refusal costs one request a process.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

STATUSES = frozenset({400, 422})
"""What servers answer to a field that they do not know, or cannot use."""

_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_REFUSES = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|extra (?:input|field)"
    r"|unavailable|not available|invalid (?:parameter|field|argument)|only the default",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(r"too (?:large|long|many)|exceed|maximum context|at most|context length", re.IGNORECASE)

Step = Callable[[Any], dict[str, Any]]
"""From the value of a refused field to its replacement."""


def _left_out(_: Any) -> dict[str, Any]:
    return {}


_STEPS: Mapping[str, tuple[Step, ...]] = {
    "model": (),
    "messages": (),
    "max_tokens": (lambda limit: {"max_completion_tokens": limit},),
    "max_completion_tokens": (),  # a reply without any limit could be of any length
    "response_format": (lambda _: {"response_format": {"type": "json_object"}}, _left_out),
}
"""The replacements for a field, tried one after the other; any other field is left out at once."""


@dataclass
class RefusedFields:
    """What one server refuses for one model."""

    taken: Counter[str] = field(default_factory=Counter)
    """Steps taken for a field."""
    changes: list[str] = field(default_factory=list)
    """What was found, and what is done about it, in words."""

    def applied(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a request as the server takes them."""
        sent = dict(options)
        for name, count in self.taken.items():
            if name in sent:
                sent |= _steps(name)[count - 1](sent.pop(name))
        return sent

    def learn(
        self, sent: Mapping[str, Any], message: str, error: Mapping[str, Any], *, needed: Collection[str] = ()
    ) -> str | None:
        """Take in an error.

        Args:
            sent: the fields of the request, as the server got them.
            message: what the server says.
            error: the error as it stands in the reply.
            needed: fields that the caller cannot do without.

        Returns:
            What changes from now on, in words; None if the error is about something else, or nothing can be done.
        """
        name = _refused(sent, message, error)
        if name is None or name in needed or self.taken[name] == len(_steps(name)):
            return None
        instead = _steps(name)[self.taken[name]](sent[name])
        self.taken[name] += 1
        does = ", ".join(f"{each} {value}" for each, value in instead.items())
        self.changes.append(f"{name} is refused; {f'{does} is sent instead' if does else 'it is left out'}")
        return self.changes[-1]


def _steps(name: str) -> tuple[Step, ...]:
    return _STEPS.get(name, (_left_out,))


def _refused(sent: Mapping[str, Any], message: str, error: Mapping[str, Any]) -> str | None:
    """Return the field that an error is about, or None."""
    if error.get("code") not in _CODES and (not _REFUSES.search(message) or _TOO_MUCH.search(message)):
        return None
    param = str(error.get("param") or "").partition(".")[0]
    named = [name for name in sent if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message)]
    return param if param in sent else next(iter(named), None)


_known: dict[tuple[str, str], RefusedFields] = {}


def refused_fields(base_url: str, model: str) -> RefusedFields:
    """Return what this process knows of a server and model."""
    return _known.setdefault((base_url, model), RefusedFields())
