"""Merge concurrent requests into batches: while one batch runs, the next gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from imaging.errors import Overloaded, StorageFull, Unavailable

I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")


class Batcher(Generic[I, R]):
    """Hands items to `run` in batches; each caller gets the result of its own item.

    Parameters
    ----------
    run
        Gives one result an item, in the same order. A result that is an exception is raised to that caller. If `run`
        itself raises, that goes to all callers of the batch where it says nothing of the items, as that the database
        is away. Otherwise one of them may have spoilt it for the others: the halves run again, down to that one.
    most
        Items in one batch.
    linger
        How many seconds a batch waits for more, given how many wait already; 0 to run at once.
    """

    def __init__(
        self,
        run: Callable[[Sequence[I]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int = 256,
        linger: Callable[[int], float] = lambda waiting: 0.0,
    ) -> None:
        self._run = run
        self._most = most
        self._linger = linger
        self._waiting: list[tuple[I, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: I) -> R:
        """The result for one item."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                if seconds := self._linger(len(self._waiting)):
                    await asyncio.sleep(seconds)
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                results = await self._results([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    if future.done():  # its caller was cancelled
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._task = None

    async def _results(self, items: Sequence[I]) -> Sequence[R | Exception]:
        try:
            return await self._run(items)
        except Exception as error:  # noqa: BLE001 - who is concerned raises it
            if len(items) == 1 or isinstance(error, Unavailable | Overloaded | StorageFull):
                return [error] * len(items)
        middle = len(items) // 2
        return [*await self._results(items[:middle]), *await self._results(items[middle:])]
