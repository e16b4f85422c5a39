"""A TCP proxy that cuts connections after so many bytes: what a bad line, a firewall or a restarted switch does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

_PIECE = 64 * 1024


class CuttingProxy:
    """Between a client and a server, in the test's own event loop.

    Parameters
    ----------
    target
        `host:port` of the server; it may be away and come back.
    cuts
        One number a connection: after so many bytes from the client both ends are reset. Further connections live.
    on_cut
        Awaited at each cut, before anything else is let through.
    """

    def __init__(
        self, target: str, cuts: Iterable[int] = (), on_cut: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._target = target
        self._cuts = deque(cuts)
        self._on_cut = on_cut
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.address = ""
        self.cuts_made = 0
        self.bytes_sent = 0
        """By the client, over all connections."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        writers = [writer]
        try:
            host, _, port = self._target.rpartition(":")
            there_reader, there_writer = await asyncio.open_connection(host, int(port))
            writers.append(there_writer)
            answers = asyncio.create_task(_copy(there_reader, writer))
            try:
                await self._forward(reader, there_writer)
            finally:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # it ends here; the one who cancels waits for that
        finally:
            self._open.discard(task)
            for each in writers:
                each.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._cuts.popleft() if self._cuts else None
        while left is None or left > 0:
            piece = await reader.read(_PIECE if left is None else min(_PIECE, left))
            if not piece:
                return
            self.bytes_sent += len(piece)
            left = None if left is None else left - len(piece)
            writer.write(piece)
            await writer.drain()
        self.cuts_made += 1
        if self._on_cut is not None:
            await self._on_cut()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
