"""The address of a server: checked before anything is sent, and taken apart, so that its secrets are never shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import httpx2

from toolkit.chat.caller import CallerSpec
from toolkit.secrets import redacted, remember


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go."""

    base_url: str
    """Without user, password and query."""
    login: tuple[str, str] | None
    """User and password, where the address has them."""
    query: Mapping[str, str]
    """The query that every request carries, such as an API version or a key."""
    shown: str
    """For people: nothing in it is secret."""

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port."""
        return origin_of(httpx2.URL(self.base_url))


def origin_of(url: httpx2.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def read_address(text: str, caller: CallerSpec) -> Address:
    """Take an address apart.

    Raises:
        ChatError: the caller's class of it; no request can be sent to the address.
    """
    try:
        parts = urlsplit(text.strip())
        base_url = _base_url(parts)
    except (ValueError, httpx2.InvalidURL) as error:  # an invalid name raises a kind of ValueError too
        found = redacted(text.rpartition("@")[2])
        raise caller.error(
            f"{caller.name}_url: expected an address such as http://localhost:8000/v1, found {found!r} ({error})"
        ) from None
    login = None
    if parts.username is not None:
        login = unquote(parts.username), unquote(parts.password or "")
        remember(login[1] or login[0])
    redacted(text)  # so that secrets in its query are known
    return Address(base_url, login, dict(parse_qsl(parts.query, keep_blank_values=True)), base_url)


def _base_url(parts: SplitResult) -> str:
    """Return the address without user and query.

    Raises:
        ValueError: the scheme, the host or the port is not valid.
        httpx2.InvalidURL: the same.
    """
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("expected http:// or https:// and a host")
    host.encode("idna")  # what the system looks up
    port = "" if parts.port is None else f":{parts.port}"
    return str(httpx2.URL(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"))
