"""The messages of one stream to a service, handed from their producer to gRPC one at a time."""

from __future__ import annotations

import asyncio
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class OutgoingMessages(Generic[T]):
    """The request iterator of a call.

    gRPC has one of its own behind `call.write`, but that one waits for ever once a call ended by itself: a task and a
    generator stay behind each time a service dies. This one ends whenever `end` is called.
    """

    def __init__(self) -> None:
        self._next: T | None = None
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, message: T) -> None:
        """Hand a message over; waits while gRPC has not taken the one before, which is how flow control works."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._next is None or self._ended)
            if not self._ended:
                self._next = message
                self._changed.notify_all()

    async def finish(self) -> None:
        """No more messages will come: those that were put are sent, then our half of the stream is closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._next is None or self._ended)
            self._ended = True
            self._changed.notify_all()

    async def end(self) -> None:
        """Send nothing more, not even what was put; gRPC lets go of the iterator."""
        async with self._changed:
            self._next, self._ended = None, True
            self._changed.notify_all()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        async with self._changed:
            await self._changed.wait_for(lambda: self._next is not None or self._ended)
            if self._next is None:
                raise StopAsyncIteration
            message, self._next = self._next, None
            self._changed.notify_all()
            return message
