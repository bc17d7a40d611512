"""A network between service and database that can be cut, held up and mended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, urlsplit


class Network:
    """Forwards a TCP port on loopback to the PostgreSQL behind `url`, unless it is cut or held up."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """The database's address through this network."""
        user = self._parts.username or "postgres"
        password = f":{self._parts.password}" if self._parts.password else ""
        return f"postgresql://{user}{password}@127.0.0.1:{self.port}{self._parts.path}"

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        """Forward (again), first what was held up."""
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every connection, losing what is under way, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        self._passing.set()  # what is held up has nowhere to go any more
        for writer in list(self._writers):
            with suppress(OSError):
                await writer.wait_closed()

    def hold(self) -> None:
        """Let nothing through and say nothing about it, as when a cable is pulled."""
        self._passing.clear()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._passing.wait()
            to_reader, to_writer = await self._connect()
        except OSError:  # the database is away, and its own port would refuse
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(to_writer)
        await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder = parse_qs(self._parts.query).get("host", [self._parts.hostname or ""])[0]
        port = self._parts.port or 5432
        if folder.startswith("/"):
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        return await asyncio.open_connection(folder, port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)
