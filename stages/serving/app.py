"""The routes: /v1/chat/completions, /v1/models, /health."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from eval.guard.answer import GuardedAnswer
from eval.guard.audit import AuditError
from stages.serving.desk import Desk
from stages.serving.wire import Question, RequestError, completion, failure_of, read_question

MAX_BYTES = 64 * 2**20
"""Largest body of a request, in bytes; pictures of this size are refused anyway."""
_LOOK_SECONDS = 1.0
"""Time between two checks whether the caller is still connected."""


def make_app(answer: Callable[[Question], GuardedAnswer], served: str, *, capacity: int, key: str = "") -> FastAPI:
    """Return the server's application.

    Args:
        answer: answers a question and records it; called by one thread.
        served: the name of the model.
        capacity: maximum number of waiting questions.
        key: the API key that callers must send; "" admits everybody.
    """
    desk = Desk(answer, capacity)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(desk.close)

    app = FastAPI(title="tritrace", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk

    @app.exception_handler(RequestError)
    async def refuse(_: Request, error: RequestError) -> JSONResponse:
        headers = {} if error.wait is None else {"Retry-After": str(error.wait)}
        return JSONResponse(error.body(), error.status, headers)

    @app.get("/health")
    async def health() -> JSONResponse:
        state = {"status": "ok" if desk.is_open else "stopping", "waiting": desk.num_waiting, "capacity": capacity}
        return JSONResponse({**state, "answered": desk.num_answered}, 200 if desk.is_open else 503)

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        _check_key(request, key)
        return {"object": "list", "data": [{"id": served, "object": "model", "created": 0, "owned_by": "tritrace"}]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        _check_key(request, key)
        question = read_question(await _json(request), served)
        answered = await _answered(desk, question, request)
        if (failure := failure_of(answered)) is not None:
            raise failure
        return completion(answered, question, served)

    return app


async def _answered(desk: Desk, question: Question, request: Request) -> GuardedAnswer:
    """Wait for an answer. If the caller leaves before the answer is begun, the question is dropped.

    Raises:
        RequestError: the question was not accepted, or the answer could not be recorded.
    """
    future = desk.submit(question)
    while not future.done():
        await asyncio.wait([future], timeout=_LOOK_SECONDS)
        if not future.done() and await request.is_disconnected():
            future.cancel()
    try:
        return await future
    except asyncio.CancelledError:
        raise RequestError("the connection was closed", status=499, code="gone") from None
    except AuditError:  # its message names a path of this machine
        raise RequestError("the answer could not be recorded, and is not released", status=503, code="audit") from None


async def _json(request: Request) -> object:
    """Return the body of a request.

    Raises:
        RequestError: the body is too long, or not JSON.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            raise RequestError(f"more than {MAX_BYTES:,} bytes", status=413, code="too_long")
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"not JSON: {error}") from None
    return found


def _check_key(request: Request, key: str) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key and not hmac.compare_digest(given.encode(), key.encode()):
        raise RequestError("the API key is missing or wrong", status=401, code="invalid_api_key")
