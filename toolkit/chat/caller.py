"""The part of the program that asks a model: its name in messages and options, and its errors."""

from dataclasses import dataclass

from protocol.errors import UserError


class ChatError(UserError):
    """Asking cannot go on: wrong address, key, model or cache, or too many failures. The message says what is kept."""


class NoReplyError(Exception):
    """There is no reply to this request; the message says why, a colon after its general part."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        """The server's answer in its place, if there was one."""


@dataclass(frozen=True, slots=True)
class CallerSpec:
    """One kind of caller."""

    name: str
    """Such as "judge"; its options are called NAME_url and NAME_cache."""
    kept: str
    """What its cache keeps, such as "verdict"; also the name of the table."""
    application_id: int
    """In the cache file: tells it from another program's, and from another caller's."""
    error: type[ChatError]
    """What it raises."""
    limit: str = "max_tokens"
    """The option that raises the token limit of a reply."""
