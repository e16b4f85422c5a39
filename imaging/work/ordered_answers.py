"""Answers in the order of what was asked; a bounded number of them is worked on side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def ordered_answers(
    asked: AsyncIterator[T], answer: Callable[[T], Awaitable[R]], *, most: int
) -> AsyncGenerator[R]:
    """The answers, each as soon as it and those before it are there.

    Parameters
    ----------
    asked
        Is read no further while `most` answers are worked on or wait to be taken. What it raises comes after
        the answers to what came before.
    answer
        Should raise nothing; what it raises ends the stream.
    """
    room = asyncio.Semaphore(most)
    waiting: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
    tasks: set[asyncio.Task[R]] = set()

    async def ask() -> None:
        try:
            async for item in asked:
                task = asyncio.ensure_future(_awaited(answer(item)))
                tasks.add(task)
                waiting.put_nowait(task)
                await room.acquire()
        finally:
            waiting.put_nowait(None)

    await room.acquire()  # so that one is asked for only when there is room for it
    asking = asyncio.create_task(ask())
    try:
        while (task := await waiting.get()) is not None:
            yield await task
            tasks.discard(task)
            room.release()
        await asking
    finally:
        asking.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(asking, *tasks, return_exceptions=True)


async def _awaited(work: Awaitable[R]) -> R:
    return await work
