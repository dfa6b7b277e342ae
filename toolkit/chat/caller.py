"""Who asks a model: what messages and options call them, and which errors they end with."""

from dataclasses import dataclass

from protocol.errors import UserError


class ChatError(UserError):
    """Asking cannot go on: a wrong address, key, model or cache, or too many failures; says what is kept."""


class NoReplyError(Exception):
    """There is no reply to this request; the message says why, a colon after its general part."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        """What the server answered instead, where it did."""


@dataclass(frozen=True, slots=True)
class CallerSpec:
    """One kind of caller."""

    name: str
    """Such as "judge"; its options are called NAME_url and NAME_cache."""
    kept: str
    """What its cache keeps of a question, such as "verdict"; names the table."""
    application_id: int
    """In the cache file: tells it from another program's, and from another caller's."""
    error: type[ChatError]
    """What it raises."""
    limit: str = "max_tokens"
    """The option that raises the token limit of a reply."""
