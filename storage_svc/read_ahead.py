"""Bounded read-ahead: the next pieces are fetched in threads while the last ones are on their way to the caller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from concurrent.futures import Executor
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


async def read_ahead(
    pieces: AsyncIterable[P], fetch: Callable[[P], R], *, executor: Executor, ahead: int = 4
) -> AsyncGenerator[R]:
    """What `fetch` gives for each piece, in order; at most `ahead` pieces are in work or waiting.

    The first failure ends it, when its turn comes.
    """
    loop = asyncio.get_running_loop()
    running: deque[asyncio.Future[R]] = deque()
    try:
        async for piece in pieces:
            running.append(loop.run_in_executor(executor, fetch, piece))
            if len(running) >= ahead:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)
