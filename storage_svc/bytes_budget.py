"""A budget of bytes in flight over all streams: who asks for more waits, in the order of asking."""

from __future__ import annotations

import asyncio
from collections import deque


class BytesBudget:
    """Bytes of uploads that may be in memory at the same time.

    A reader that waits here reads no further message, so gRPC's flow control slows its sender down.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def total(self) -> int:
        """Bytes that may be in memory."""
        return self._total

    @property
    def in_use(self) -> int:
        """Bytes taken and not yet given back."""
        return self._total - self._free

    async def take(self, size: int) -> None:
        """Wait until `size` bytes are free and take them; more than the total counts as the total."""
        size = min(size, self._total)
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back(size)  # it was granted and cancelled in the same turn
            raise

    def give_back(self, size: int) -> None:
        """Free what was taken."""
        self._free += min(size, self._total)
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            wanted, future = self._waiting.popleft()
            if not future.done():
                self._free -= wanted
                future.set_result(None)
