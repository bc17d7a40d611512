"""A load generator for HTTP/1.1 over kept connections, light enough to share a core with a database.

A closed loop keeps every connection busy and measures throughput. An open loop sends at a given rate, whether
answers come or not, and counts each latency from the moment at which its request was due, so a server that
stands still is not excused from the requests it delayed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop

_CONNECT_SECONDS = 10.0
#: In seconds; less is no sleep at all to the event loop, which counts in milliseconds.
_OPEN_LOOP_TICK = 0.001


@dataclass
class Outcome:
    """What came of a run."""

    #: Wall time, in seconds.
    seconds: float
    #: One per answer, in seconds, in the order of the answers.
    latencies: list[float] = field(default_factory=list)
    #: When each answer came, on the clock of `time.perf_counter`.
    answered_at: list[float] = field(default_factory=list)
    #: Answers outside 2xx, each with its first bytes.
    refused: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def quantile(self, q: float) -> float:
        """This quantile of the latencies, in seconds."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(q * len(ranked)))]


def request(path: str, body: bytes) -> bytes:
    """The bytes of a POST.

    >>> request("/a", b"{}")[:18]
    b'POST /a HTTP/1.1\\r\\n'
    """
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def closed(port: int, requests: Iterable[bytes], *, connections: int, seconds: float) -> Outcome:
    """As many requests as the server answers, each connection with one under way; until there are no more."""
    return uvloop.run(_Run(port, iter(requests), connections).closed(seconds))


def opened(port: int, requests: Iterable[bytes], *, connections: int, seconds: float, rate: float) -> Outcome:
    """`rate` requests a second, for so many seconds; there must be as many."""
    return uvloop.run(_Run(port, iter(requests), connections).opened(seconds, rate))


class _Run:
    def __init__(self, port: int, requests: Iterator[bytes], connections: int) -> None:
        self.port = port
        self.requests = requests
        self.count = connections
        self.outcome = Outcome(0.0)
        self.idle: list[_Connection] = []
        self.until = 0.0
        #: Moments at which requests were due for which no connection was free; None in a closed loop.
        self.late: deque[float] | None = None
        self.drained = asyncio.Event()

    async def closed(self, seconds: float) -> Outcome:
        await self._connect()
        began = time.perf_counter()
        self.until = began + seconds
        for _ in range(self.count):
            self._send_next(self.idle.pop(0), time.perf_counter())
        return await self._end(began)

    async def opened(self, seconds: float, rate: float) -> Outcome:
        await self._connect()
        self.late = deque()
        began = time.perf_counter()
        sent = 0
        while (now := time.perf_counter()) < began + seconds:
            due = int((now - began) * rate)
            for place in range(sent, due):
                self.late.append(began + place / rate)
            sent = due
            while self.late and self.idle:
                self._send_next(self.idle.pop(0), self.late.popleft())
            await asyncio.sleep(_OPEN_LOOP_TICK)
        return await self._end(began)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_SECONDS):
            for _ in range(self.count):
                made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
                self.idle.append(made[1])

    async def _end(self, began: float) -> Outcome:
        while len(self.idle) < self.count:
            self.drained.clear()
            await self.drained.wait()
        self.outcome.seconds = time.perf_counter() - began
        for connection in self.idle:
            connection.transport.close()
        return self.outcome

    def answered(self, connection: _Connection, sent: float, head: bytes) -> None:
        now = time.perf_counter()
        self.outcome.latencies.append(now - sent)
        self.outcome.answered_at.append(now)
        if not head.startswith(b"HTTP/1.1 2"):
            self.outcome.refused.append(head[:300])
        if self.late:
            self._send_next(connection, self.late.popleft())
        elif self.late is None and now < self.until:
            self._send_next(connection, now)
        else:
            self.idle.append(connection)
            self.drained.set()

    def _send_next(self, connection: _Connection, due: float) -> None:
        data = next(self.requests, None)
        if data is None:
            self.idle.append(connection)
            self.drained.set()
        else:
            connection.send(data, due)


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._sent = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes, due: float) -> None:
        self._sent = due
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = received.find(b"content-length: ") + 16
        if len(received) < end + 4 + int(received[at : received.index(b"\r", at)]):
            return
        self._received = b""
        self._run.answered(self, self._sent, received)

    def connection_lost(self, error: Exception | None) -> None:
        if self._sent and self not in self._run.idle:
            raise RuntimeError(f"the server closed a connection: {error}")
