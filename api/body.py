"""Strict JSON: what two parsers could read differently, or the database could not hold, is refused."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from bandit.errors import InvalidInputError, TooLargeError

MAX_BYTES = 256 * 1024
#: For calls that carry up to 1,000 decisions or rewards.
MAX_BATCH_BYTES = 16 * MAX_BYTES
_MAX_DEPTH = 32
#: A client that trickles must not hold a connection for ever.
_MAX_SECONDS = 10.0
T = TypeVar("T")


class _Repeated(dict[str, Any]):
    """An object in which a key stood twice."""

    key = ""


async def read(request: Request, expected: type[T], *, max_bytes: int = MAX_BYTES) -> T:
    """The request's body as `expected`.

    Raises:
        TooLargeError: over `max_bytes`; the rest is not read.
        InvalidInputError: not JSON, or not such a value; the message names the field.
    """
    return convert(await read_json(request, max_bytes=max_bytes), expected)


async def read_json(request: Request, *, max_bytes: int) -> Any:
    """The request's body as plain JSON values. Errors as for `read`."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_MAX_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise TooLargeError(
                        f"body: expected at most {max_bytes} bytes, got more; send less.", target="body"
                    )
                chunks.append(chunk)
    except TimeoutError as error:
        raise InvalidInputError(
            f"body: expected all of it within {_MAX_SECONDS:.0f} s, got {size} bytes.", target="body"
        ) from error
    return parse(b"".join(chunks))


def parse(body: bytes) -> Any:
    """`body` as plain JSON values; see `read`.

    >>> parse(b'{"a": 1}')
    {'a': 1}
    >>> parse(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: a: expected each key once, got 'a' twice.
    """
    try:
        raw = json.loads(body.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"body: expected UTF-8, got {error.reason}.", target="body") from error
    except RecursionError as error:
        raise InvalidInputError("body: expected less nesting.", target="body") from error
    except ValueError as error:
        raise InvalidInputError(f"body: expected JSON, got {error}.", target="body") from error
    _check(raw, "", 0)
    return raw


def convert(raw: Any, expected: type[T]) -> T:
    """Plain JSON values as `expected`.

    Raises:
        InvalidInputError: it is not such a value; the message names the field.

    >>> convert({"a": "b"}, dict[str, int])
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: [...]: expected `int`, got `str`.
    """
    try:
        return msgspec.convert(raw, expected)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    repeated = _Repeated(values)
    keys = [key for key, _ in pairs]
    repeated.key = next(key for key in keys if keys.count(key) > 1)
    return repeated


def _check(value: Any, path: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidInputError(
            f"{path}: expected at most {_MAX_DEPTH} levels of nesting.", target=path.partition(".")[0]
        )
    if isinstance(value, dict):
        if isinstance(value, _Repeated):
            target = f"{path}.{value.key}" if path else value.key
            raise InvalidInputError(
                f"{target}: expected each key once, got {value.key!r} twice.", target=target
            )
        for key, inner in value.items():
            target = f"{path}.{key}" if path else key
            check_text(key, path or "body")
            _check(inner, target, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(f"{path}: expected a finite number, got {value}.", target=path)


def check_text(text: str, path: str) -> None:
    """Refuse text that the database could not hold.

    Raises:
        InvalidInputError: naming `path`.
    """
    if "\0" in text:
        raise InvalidInputError(f"{path}: expected text without the character U+0000.", target=path)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"{path}: expected text, got a lone surrogate.", target=path) from error


def _invalid(message: str) -> InvalidInputError:
    text, _, where = message.partition(" - at ")
    target = where.strip("`").removeprefix("$").lstrip(".") or "body"
    if unknown := re.search(r"unknown field `(.*)`", text):
        target = unknown[1] if target == "body" else f"{target}.{unknown[1]}"
        text = "expected only the fields of the schema (see /docs), got another one; is it misspelt?"
    elif missing := re.search(r"missing required field `(.*)`", text):
        target = missing[1] if target == "body" else f"{target}.{missing[1]}"
        text = "expected a value, got nothing; it is required"
    elif "matching regex" in text:  # there is one: of a bandit_key
        text = "expected letters, digits, '_', '.' and '-', 128 at most and the first a letter or digit"
    return InvalidInputError(f"{target}: {text[0].lower()}{text[1:].rstrip('.')}.", target=target)
