"""The HTTP client under the chat client: what a server sends is bounded in bytes and time before anybody reads it.

* A request has one deadline, from sending it to the last byte of its reply, which also ends a server that sends a byte
  now and then. httpx has time-outs for a connection and for a single read only.
* A reply has at most `MAX_BYTES`, as it comes and unpacked.
* A redirect is followed within the same server only: to another one it would carry the conversation on.
* Status 200 with an error in its body is an error, with the status that it names, so that it is asked again where that
  helps. A quota that is used up is not asked again, whatever its status says.

Asking again is for the openai client (`max_retries`): it waits as long as the server's `Retry-After` says, up to two
minutes, and gives up where that says more.
"""

import asyncio
import json
import zlib
from typing import Any

import httpx2

from toolkit.chat.address import Address, origin_of
from toolkit.chat.usage import Usage

MAX_BYTES = 8 * 1024 * 1024
"""Of one reply: some thousand times the longest verdict."""
MAX_REDIRECTS = 3
ANSWERED = "tritrace_answered"
"""Extension of a response: the status that the server sent, where its body says otherwise."""

_USED_UP = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_UNPACKED_BY = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class BadReplyError(httpx2.HTTPError):
    """The server's reply cannot be taken, and asking again would not help; the message says why."""


class BoundedClient(httpx2.AsyncClient):
    """Sends requests to one server, and counts them."""

    def __init__(self, address: Address, usage: Usage, timeout_seconds: float) -> None:
        """Prepare.

        Args:
            address: of the server.
            usage: where requests are counted, repeated ones included.
            timeout_seconds: of one request, from sending it to the last byte of its reply.
        """
        super().__init__(auth=address.login, timeout=timeout_seconds, headers={"Accept-Encoding": "gzip, deflate"})
        self.origin = address.origin
        self.usage = usage
        self.timeout_seconds = timeout_seconds

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, and return the whole reply.

        Raises:
            httpx2.ReadTimeout: the reply was not there in time.
            httpx2.TransportError: the connection failed.
            BadReplyError: the reply is too long, packed in a way that was not asked for, or leads to another server.
        """
        self.usage.num_requests += request.method == "POST"
        options |= {"stream": True, "follow_redirects": False}
        try:
            async with asyncio.timeout(self.timeout_seconds):
                response = await super().send(request, **options)
                for _ in range(MAX_REDIRECTS):
                    if response.next_request is None:
                        break
                    await response.aclose()
                    response = await super().send(self._within(response.next_request), **options)
                try:
                    return _whole(response, await _body(response))
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the reply is not complete", request=request) from error

    def _within(self, request: httpx2.Request) -> httpx2.Request:
        if origin_of(request.url) != self.origin or request.method != "POST":
            raise BadReplyError(f"the server redirects to {request.url}; if that is right, give that address itself")
        return request


async def _body(response: httpx2.Response) -> bytes:
    """Return the body, unpacked."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", *_UNPACKED_BY}:
        raise BadReplyError(f"the reply is packed as {encoding[:40]!r}, which was not asked for")
    packer = zlib.decompressobj(_UNPACKED_BY[encoding]) if encoding in _UNPACKED_BY else None
    parts, num_read, num_kept = [], 0, 0
    async for chunk in response.aiter_raw():
        num_read += len(chunk)
        try:
            part = chunk if packer is None else packer.decompress(chunk, MAX_BYTES + 1 - num_kept)
        except zlib.error as error:
            raise BadReplyError(f"the reply cannot be unpacked: {error}") from None
        num_kept += len(part)
        if max(num_read, num_kept) > MAX_BYTES:
            raise BadReplyError(f"the reply is longer than {MAX_BYTES} bytes")
        parts.append(part)
    if packer is not None and num_read and not packer.eof:
        raise httpx2.RemoteProtocolError("the packed reply ends in the middle", request=response.request)
    return b"".join(parts)


def _whole(response: httpx2.Response, body: bytes) -> httpx2.Response:
    """Return a response that has been read, its status the one that its body speaks of."""
    # Without its type the body is read as UTF-8: a type may name any of Python's codecs, such as zlib.
    packing = {"content-encoding", "content-length", "content-type", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in packing]
    status, extensions = response.status_code, {}
    if error := _error_in(body):
        code: Any = error.get("code")
        kind = {str(error.get(name)) for name in ("code", "type")}
        if kind & _USED_UP:
            headers.append(("x-should-retry", "false"))
        if response.is_success:
            extensions[ANSWERED] = status
            is_status = isinstance(code, int) and 400 <= code <= 599 and not isinstance(code, bool)
            status = code if is_status else 400
    return httpx2.Response(status, headers=headers, content=body, request=response.request, extensions=extensions)


def _error_in(body: bytes) -> dict[str, Any]:
    """Return the error that a body holds in place of an answer; {} for none."""
    if b'"error"' not in body:
        return {}
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(record, dict) or record.get("choices"):
        return {}
    error = record.get("error")
    if isinstance(error, str) and error:
        return {"message": error, "code": record.get("code"), "type": record.get("type")}
    return error if isinstance(error, dict) else {}
