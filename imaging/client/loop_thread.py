"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from imaging.errors import FailedPrecondition

T = TypeVar("T")


class LoopThread:
    """Runs coroutines from synchronous code until `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="imaging-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine. Ctrl-C cancels it.

        Raises
        ------
        FailedPrecondition
            If the client was closed.
        """
        if self._loop.is_closed() or not self._thread.is_alive():
            work.close()
            raise FailedPrecondition("The client is closed", hint="Make a new one with imaging.connect().")
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T]) -> Iterator[T]:
        """The items of an asynchronous generator, fetched one by one; it is closed when the iterator is."""
        try:
            while True:
                try:
                    item = self.run(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            # An iterator that was dropped may end after the client, or at the end of the program.
            if self._thread.is_alive() and not self._loop.is_closed():
                self.run(items.aclose())

    def close(self) -> None:
        """End the thread. A second call does nothing."""
        if self._loop.is_closed():
            return
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(items: AsyncGenerator[T]) -> T:
    return await anext(items)


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
