"""Bodies that need no closer look are read quickly; the quick way and the full one must agree on all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api import body
from bandit.errors import InvalidInputError, TooLargeError

_space = st.sampled_from(["", "", "", " ", "\n", "\t", "\r\n"])
_texts = st.one_of(
    st.sampled_from(["a", "b", "", ":", ": ", " x", "é", '"', "\\", '":', '" :', "\0", "\ud800", "日本"]),
    st.text(max_size=3),
).map(
    lambda text: (
        json.dumps(text) if "\ud800" in text or "\0" in text else json.dumps(text, ensure_ascii=False)
    )
)
_scalars = st.one_of(
    _texts,
    st.integers(-(10**30), 10**30).map(str),
    st.floats(allow_nan=True).map(json.dumps),
    st.sampled_from(["true", "false", "null", "1e999", "01", "1.", "-0", "-0.0", "nul", ""]),
)


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """Keys may stand twice, and white space anywhere."""
    pairs = draw(st.lists(st.tuples(_texts, inner), max_size=3))
    return "{" + ",".join(
        draw(_space) + key + draw(_space) + ":" + draw(_space) + value + draw(_space) for key, value in pairs
    ) + "}"  # fmt: skip


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _objects(inner) | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")


_documents = st.recursive(_scalars, _nested, max_leaves=8)


def _outcome(read: Any, data: bytes) -> tuple[str, ...]:
    try:
        return ("value", repr(read(data)))
    except InvalidInputError as error:
        return ("refused", error.message, str(error.target))


@given(_documents)
def test_the_quick_way_gives_what_the_full_one_gives(document: str) -> None:
    data = document.encode("utf-8", "surrogatepass")
    assert _outcome(body.parse, data) == _outcome(body._parsed_in_full, data)


@pytest.mark.parametrize(
    "document",
    [
        '{"a":1,"a" :2}', '{"a":1,"a":":"}', '{"x":{"a":1},"y":{"a":1,"a":2}}', '[{"a":1,"a":2}]',
        '{"a":1,"b":":","a":2}', '{"a\\u0062":1,"ab":2}', '{"":1,"":2}', '{"a":"\\u0000"}', '{"a":1e999}',
    ],
)  # fmt: skip
def test_what_two_parsers_could_read_differently_is_refused(document: str) -> None:
    with pytest.raises(InvalidInputError):
        body.parse(document.encode())


@pytest.mark.parametrize("inner", ["", "1", '"\\u0041"'])
@pytest.mark.parametrize("depth", [30, 31, 32, 33, 34, 60])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_limited_by_one_number(opening: str, closing: str, depth: int, inner: str) -> None:
    inner = inner or ("[]" if opening == "[" else "{}")
    data = (opening * depth + inner + closing * depth).encode()
    assert _outcome(body.parse, data) == _outcome(body._parsed_in_full, data)
    refused = _outcome(body.parse, data)[0] == "refused"
    assert refused == (depth + (inner in ("[]", "{}")) > 32 + (inner in ("[]", "{}")))


def _sender(*messages: Message, wait: bool = False) -> Any:
    left = iter(messages)

    async def receive() -> Message:
        if wait:
            await asyncio.sleep(0)
        return next(left)

    return receive


def _part(data: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


@pytest.mark.parametrize("wait", [False, True])
async def test_a_body_comes_at_once_or_in_parts(wait: bool) -> None:
    whole = _sender(_part(b'{"a":1}', more=False), wait=wait)
    assert await body.read_json(whole, max_bytes=100) == {"a": 1}
    parts = _sender(_part(b'{"a"', more=True), _part(b":1", more=True), _part(b"}", more=False), wait=wait)
    assert await body.read_json(parts, max_bytes=100) == {"a": 1}


@pytest.mark.parametrize("wait", [False, True])
async def test_a_body_too_large_is_not_read_to_its_end(wait: bool) -> None:
    parts = _sender(_part(b"x" * 60, more=True), _part(b"x" * 60, more=True), wait=wait)
    with pytest.raises(TooLargeError):
        await body.read_json(parts, max_bytes=100)


async def test_who_has_gone_gets_no_answer() -> None:
    with pytest.raises(ClientDisconnect):
        await body.read_json(_sender({"type": "http.disconnect"}), max_bytes=100)


@pytest.mark.parametrize("first", [b"", b'{"a"'])
async def test_a_body_that_does_not_come_is_waited_for_in_vain(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_MAX_SECONDS", 0.01)
    sent = iter([_part(first, more=True)] if first else [])

    async def receive() -> Message:
        for message in sent:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(InvalidInputError, match="expected all of it within"):
        await body.read_json(receive, max_bytes=100)


async def test_who_is_cancelled_while_waiting_lets_go() -> None:
    let_go = asyncio.Event()

    async def receive() -> Message:
        try:
            await asyncio.Event().wait()
        finally:
            let_go.set()
        raise AssertionError

    reading = asyncio.create_task(body.read_json(receive, max_bytes=100))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert let_go.is_set()


class _Bare:
    """What some servers give: awaitable, but no coroutine, and its iterator has nothing but `__next__`."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __await__(self) -> Generator[Any, None, Message]:
        return self  # type: ignore[return-value]  # that is the point

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> None:
        if not self._left:
            raise StopIteration(_part(b'{"a":1}', more=False))
        self._left -= 1


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_any_awaitable_will_do(steps: int) -> None:
    assert await body.read_json(lambda: _Bare(steps), max_bytes=100) == {"a": 1}
