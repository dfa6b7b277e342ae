"""Secrets: how they are recognised, and the one function that removes them from everything shown or written.

A secret is the value of an environment variable whose name says so (`OPENAI_API_KEY`, `HF_TOKEN`), a user or password
in an address, and the value of a query such as `?key=`. Secrets of an address are remembered, so that they are also
found where a server repeats them.
"""

import logging
import os
import re
from pathlib import Path
from typing import Any

HIDDEN = "[hidden]"
MIN_LENGTH = 8
"""Least length of a secret that is searched for in any text; a shorter one, such as "word", may be there by chance."""

_NAME = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_ADDRESS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{1,30}://)(?P<user>[^\s/?#\"'@<>]{1,500}@)?", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<name>[?&;][a-z0-9_.-]{0,40}(?:key|token|secret|password|passwd|signature|sig|auth|code)=)"
    r"(?P<value>[^&;\s\"'#<>]{1,2000})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<name>\b(?:bearer|basic) )(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_remembered: set[str] = set()


def redacted(text: str) -> str:
    """Return a message, an address or a setting without its secrets.

    >>> redacted("no reply from http://me:pass-word-1@host/v1?key=abc")
    'no reply from http://[hidden]@host/v1?key=[hidden]'
    """
    if "://" in text:
        text = _QUERY.sub(_hide_value, _ADDRESS.sub(_hide_user, text))
    return without_secrets(_BEARER.sub(_hide_value, text))


def without_secrets(text: str) -> str:
    """Return any text, also a model's or a user's, without known secrets; nothing else is changed."""
    for secret in _known():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


def redacted_values(value: Any) -> Any:
    """Return a JSON value, or a value of plain containers, with every text in it redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {name: redacted_values(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(redacted_values(each) for each in value)
    return value


def remember(secret: str) -> None:
    """Know a text as a secret from now on."""
    if len(secret) >= MIN_LENGTH:
        _remembered.add(secret)


class RedactingFilter(logging.Filter):
    """Takes secrets out of what a library logs, such as the address of every request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record."""
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


def _known() -> list[str]:
    """Return every secret, the longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if _NAME.search(name) and _is_secret(value)}
    return sorted(_remembered | found, key=lambda secret: (-len(secret), secret))


def _is_secret(value: str) -> bool:
    return len(value) >= MIN_LENGTH and not (value.startswith(("/", "~")) and Path(value).expanduser().exists())


def _hide_user(found: re.Match[str]) -> str:
    if not found["user"]:
        return found[0]
    remember(found["user"].rstrip("@").partition(":")[2] or found["user"].rstrip("@"))
    return f"{found['scheme']}{HIDDEN}@"


def _hide_value(found: re.Match[str]) -> str:
    if found["value"] != HIDDEN:
        remember(found["value"])
    return f"{found['name']}{HIDDEN}"
