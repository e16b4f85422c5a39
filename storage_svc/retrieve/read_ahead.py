"""Bounded read-ahead: the next pieces are fetched in threads while the last ones are on their way to the caller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from concurrent.futures import Executor
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")

AHEAD_BYTES = 64 * 1024 * 1024
"""What one stream may have in memory ahead of its caller, unless a single piece is larger."""


async def read_ahead(
    pieces: AsyncIterable[P],
    fetch: Callable[[P], R],
    *,
    executor: Executor,
    size_bytes: Callable[[P], int],
    ahead: int = 4,
    at_once: Callable[[P], R | None] | None = None,
) -> AsyncGenerator[R]:
    """What `fetch` gives for each piece, in order.

    At most `ahead` pieces, and `AHEAD_BYTES`, are in work or waiting. The first failure ends it, when its turn comes.

    Parameters
    ----------
    at_once
        Asked first, in the event loop, when nothing is in work: what it gives needs no `fetch`; it must not wait.
    """
    loop = asyncio.get_running_loop()
    running: deque[tuple[asyncio.Future[R], int]] = deque()
    held = 0
    try:
        async for piece in pieces:
            if at_once is not None and running and all(future.done() for future, _ in running):
                while running:
                    future, freed = running.popleft()
                    yield await future
                    held -= freed
            if at_once is not None and not running and (result := at_once(piece)) is not None:
                yield result
                continue
            size = size_bytes(piece)
            while running and (len(running) >= ahead or held + size > AHEAD_BYTES):
                future, freed = running.popleft()
                yield await future
                held -= freed
            running.append((loop.run_in_executor(executor, fetch, piece), size))
            held += size
        while running:
            yield await running.popleft()[0]
    finally:
        for future, _ in running:
            future.cancel()
        await asyncio.gather(*(future for future, _ in running), return_exceptions=True)
