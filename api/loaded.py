"""The calls that carry the load, answered past the framework, whose routing costs more than a decision.

They are routes like any other in OpenAPI, and for a request that comes through the framework.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api import body, errors
from api.answer import answer, encode
from api.deps import Here, Process

#: From what JSON came to the struct to answer with.
Use = Callable[[Process, Any], Awaitable[msgspec.Struct]]


class Loaded:
    """A POST that takes JSON and answers JSON."""

    def __init__(self, use: Use, status: int, max_bytes: int) -> None:
        self._use = use
        self._status = status
        self._max_bytes = max_bytes

    async def __call__(self, process: Process, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            raw = await body.read_json(receive, max_bytes=self._max_bytes)
            encoded = encode(await self._use(process, raw))
        except ClientDisconnect:
            return
        except Exception as error:  # whatever it is, the caller gets an answer in the one shape
            await errors.response(scope["path"], error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(encoded))]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": encoded})


BY_PATH: dict[str, Loaded] = {}


def loaded(
    router: APIRouter, path: str, *, status_code: int, max_bytes: int, **documentation: Any
) -> Callable[[Use], Use]:
    """Register what answers a POST to `path`; the rest is as for any route."""

    def register(use: Use) -> Use:
        async def route(request: Request, here: Here) -> Response:
            raw = await body.read_json(request.receive, max_bytes=max_bytes)
            return answer(status_code, await use(here, raw))

        route.__name__, route.__doc__ = use.__name__, use.__doc__
        router.post(path, status_code=status_code, **documentation)(route)
        BY_PATH[router.prefix + path] = Loaded(use, status_code, max_bytes)
        return use

    return register
