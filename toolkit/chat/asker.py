"""Who asks a model: what messages and options call them, and which errors they end with."""

from dataclasses import dataclass

from protocol.errors import UserError


class ChatError(UserError):
    """Asking cannot go on: a wrong address, key, model or cache, or too many failures; says what is kept."""


@dataclass(frozen=True, slots=True)
class Asker:
    """One kind of caller."""

    name: str
    """Such as "judge"; its options are called NAME_url and NAME_cache."""
    kept: str
    """What its cache keeps of a question, such as "verdict"; names the table."""
    application_id: int
    """In the cache file: tells it from another program's, and from another asker's."""
    error: type[ChatError]
    """What it raises."""
