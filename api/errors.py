"""Every error leaves in one shape, with a status that says whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.schemas import ErrorAnswer, ErrorBody
from bandit import errors

_log = structlog.get_logger()
_SWITCH = re.compile(r"/v1/bandits/[^/]*:[^/]*")
_STATUS: dict[type[errors.SegbanditError], int] = {
    errors.InvalidInputError: 422,
    errors.TooLargeError: 413,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.ArchivedError: 409,
    errors.UnavailableError: 503,
}


def install(app: FastAPI) -> None:
    """Make the app answer every failure in the one shape."""
    app.add_exception_handler(errors.SegbanditError, _failed)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)


def response(path: str, error: Exception) -> Response:
    """How any failure is answered."""
    return _ours(error) if isinstance(error, errors.SegbanditError) else _unexpected(path, error)


async def _failed(request: Request, error: Exception) -> Response:
    return response(request.url.path, error)


def _ours(error: errors.SegbanditError) -> Response:
    status = _STATUS.get(type(error), 500)
    headers = {"Retry-After": "1"} if status == 503 else {}
    return _answer(status, error.code, error.message, error.target, error.details, headers)


async def _framework(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        message = f"expected a path of this service, got {request.url.path!r}; see /docs."
        return _answer(404, "not_found", message, "path")
    if error.status_code == 405 and request.method == "POST" and _SWITCH.fullmatch(request.url.path):
        there = ", ".join(_switches(request))
        message = f"expected one of the switches {there}, got {request.url.path!r}."
        return _answer(404, "not_found", message, "path")
    if error.status_code == 405:
        message = f"expected another method for {request.url.path!r}, got {request.method}; see /docs."
        return _answer(405, "method_not_allowed", message, "method", headers=error.headers)
    return _answer(error.status_code, "http_error", str(error.detail), None, headers=error.headers)


def _switches(request: Request) -> list[str]:
    """What a bandit's path may end with."""
    start = "/v1/bandits/{bandit_key}:"
    paths: list[str] = request.app.openapi()["paths"]
    return sorted(f":{path.removeprefix(start)}" for path in paths if path.startswith(start))


async def _parameters(_: Request, error: Exception) -> Response:
    """Parameters in path and query; bodies are read by `api.body`."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    target = str(first["loc"][-1])
    message = f"{target}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}."
    return _answer(422, errors.InvalidInputError.code, message, target)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


def _unexpected(path: str, error: Exception) -> Response:
    _log.error("unexpected error", path=path, exc_info=error)
    message = (
        "expected to answer, but failed in a way nobody foresaw; it was logged. Repeat the call or tell us."
    )
    return _answer(500, "internal_error", message, None)


def _answer(
    status: int,
    code: str,
    message: str,
    target: str | None,
    details: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = ErrorAnswer(error=ErrorBody(code=code, message=message, target=target, details=list(details)))
    return Response(msgspec.json.encode(body), status, headers, "application/json")
