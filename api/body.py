"""Strict JSON: what two parsers could read differently, or the database could not hold, is refused."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from bandit.errors import InvalidInputError, TooLargeError

MAX_BYTES = 256 * 1024
#: For calls that carry up to 1,000 decisions or rewards.
MAX_BATCH_BYTES = 16 * MAX_BYTES
_MAX_DEPTH = 32
#: A client that trickles must not hold a connection for ever.
_MAX_SECONDS = 10.0
#: Fewer keys than any body makes up for.
_TOO_DEEP = -(10**9)
_decode = msgspec.json.Decoder().decode
T = TypeVar("T")


class _Repeated(dict[str, Any]):
    """An object in which a key stood twice."""

    key = ""


async def read(request: Request, expected: type[T], *, max_bytes: int = MAX_BYTES, if_none: bytes = b"") -> T:
    """The request's body as `expected`; where it is empty, `if_none` stands for it.

    Raises:
        TooLargeError: over `max_bytes`; the rest is not read.
        InvalidInputError: not JSON, or not such a value; the message names the field.
        ClientDisconnect: the client has gone.
    """
    return convert(await read_json(request.receive, max_bytes=max_bytes, if_none=if_none), expected)


async def read_json(receive: Receive, *, max_bytes: int, if_none: bytes = b"") -> Any:
    """The body that `receive` brings as plain JSON values. Errors as for `read`."""
    body, more = b"", True
    try:
        # Nearly always all of it has arrived. So the first step is made by hand, for a time limit, which only
        # waiting needs, would cost more than the rest of reading does.
        receiving = receive().__await__()
        rest: Awaitable[Message] | None = None
        try:
            rest = _rest(receiving, next(receiving))
        except StopIteration as received:
            body, more = _added(body, received.value, max_bytes)
        if more:
            async with asyncio.timeout(_MAX_SECONDS):
                while more:
                    body, more = _added(body, await (rest or receive()), max_bytes)
                    rest = None
    except TimeoutError as error:
        raise InvalidInputError(
            f"body: expected all of it within {_MAX_SECONDS:.0f} s, got {len(body)} bytes.", target="body"
        ) from error
    return parse(body or if_none)


@coroutine
def _rest(begun: Generator[Any, None, Message], awaited: Any) -> Generator[Any, None, Message]:
    """What comes of an awaitable that was begun by hand and now awaits this."""
    try:
        yield awaited
    except BaseException:  # a cancellation, of which it must hear too; what is no generator cannot
        getattr(begun, "close", lambda: None)()
        raise
    return (yield from begun)


def _added(body: bytes, message: Message, max_bytes: int) -> tuple[bytes, bool]:
    """The body so far, and whether there is more to come."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body += message.get("body", b"")
    if len(body) > max_bytes:
        raise TooLargeError(f"body: expected at most {max_bytes} bytes, got more; send less.", target="body")
    return body, message.get("more_body", False)


def parse(body: bytes) -> Any:
    """`body` as plain JSON values; see `read`.

    >>> parse(b'{"a": 1}')
    {'a': 1}
    >>> parse(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    bandit.errors.InvalidInputError: a: expected each key once, got 'a' twice.
    """
    try:
        value = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parsed_in_full(body)  # which says in our words what is wrong
    return value if _is_plain(body, value) else _parsed_in_full(body)


def _is_plain(body: bytes, value: Any) -> bool:
    """Whether `value`, which was decoded from `body`, surely needs no closer look.

    The decoder refuses what is no JSON, and numbers that are not finite; it takes a key twice, and U+0000 if
    it is escaped. Without escapes a quote begins or ends a text and nothing else. If it is never followed by
    white space, each key shows as `":`, and there are as many of these as keys only if no key was lost.
    """
    return (
        b"\\" not in body
        and body.count(b'":') == _keys(value)
        and b'" ' not in body
        and b'"\n' not in body
        and b'"\t' not in body
        and b'"\r' not in body
    )


def _keys(value: Any, depth: int = 0) -> int:
    """The number of keys of all objects in `value`; negative if it is nested too deeply."""
    if depth >= _MAX_DEPTH and value:  # what stands in it would be deeper still
        return _TOO_DEEP
    kind = type(value)
    if kind is dict:
        count = len(value)
        for inner in value.values():
            kind = type(inner)
            if kind is dict or kind is list:
                count += _keys(inner, depth + 1)
        return count
    return sum([_keys(inner, depth + 1) for inner in value]) if kind is list else 0


def _parsed_in_full(body: bytes) -> Any:
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
