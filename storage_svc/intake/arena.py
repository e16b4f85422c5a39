"""The bytes of uploads in flight: shared memory of a fixed size, handed out in pieces, in the order of asking."""

from __future__ import annotations

import asyncio
import mmap
import os
from bisect import insort
from collections import deque
from dataclasses import dataclass, field

_ALIGNMENT = 64

HEADROOM = 1024
"""Bytes before a bare data set for the preamble and file meta information that it is given (under 500)."""


@dataclass(slots=True, eq=False)
class Slot:
    """A piece of the arena that holds one instance. `start` moves into the headroom when something is put before it."""

    begin: int
    start: int
    size_bytes: int
    taken_bytes: int
    _memory: memoryview = field(repr=False)

    @property
    def view(self) -> memoryview:
        """The instance's bytes, in place. Not to be used after the slot was given back."""
        return self._memory[self.start : self.start + self.size_bytes]

    def fill(self, content: bytes) -> None:
        """Copy an instance into the slot."""
        self._memory[self.start : self.start + self.size_bytes] = content

    def moved(self, start: int, size_bytes: int) -> Slot:
        """The same piece after something was written before the content."""
        return Slot(self.begin, start, size_bytes, self.taken_bytes, self._memory)


class Arena:
    """Memory that the service and its intake process share, and the one bound of what uploads may take of it.

    A reader that waits here reads no further message, so gRPC's flow control slows its sender down. Pieces are given
    out lowest first: pages that were never needed are never resident.
    """

    def __init__(self, size_bytes: int) -> None:
        self.descriptor = os.memfd_create("uploads", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size_bytes)
        self._memory = memoryview(mmap.mmap(self.descriptor, size_bytes))
        self.size_bytes = size_bytes
        self._free: list[tuple[int, int]] = [(0, size_bytes)]
        self._in_use = 0
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()

    @property
    def in_use(self) -> int:
        """Bytes taken and not yet given back."""
        return self._in_use

    async def take(self, size_bytes: int, *, headroom: int = 0) -> Slot:
        """A slot for an instance of this size, waited for.

        Raises
        ------
        ValueError
            If it is larger than the whole arena.
        """
        wanted = -(-max(1, size_bytes + headroom) // _ALIGNMENT) * _ALIGNMENT
        if wanted > self.size_bytes:
            raise ValueError("the instance is larger than the arena")
        begin = None if self._waiting else self._carve(wanted)
        if begin is None:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._waiting.append((wanted, future))
            try:
                begin = await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._release(future.result(), wanted)  # it was granted and cancelled in the same turn
                raise
        return Slot(begin, begin + headroom, size_bytes, wanted, self._memory)

    def give_back(self, slot: Slot) -> None:
        """Free a slot; whoever waits the longest is served first."""
        self._release(slot.begin, slot.taken_bytes)

    def close(self) -> None:
        """Let go of the descriptor; the memory goes with the last view of it."""
        os.close(self.descriptor)

    def _carve(self, wanted: int) -> int | None:
        for place, (begin, size) in enumerate(self._free):
            if size >= wanted:
                if size == wanted:
                    del self._free[place]
                else:
                    self._free[place] = (begin + wanted, size - wanted)
                self._in_use += wanted
                return begin
        return None

    def _release(self, begin: int, size: int) -> None:
        self._in_use -= size
        insort(self._free, (begin, size))
        self._merge()
        while self._waiting:
            wanted, future = self._waiting[0]
            if future.done():  # cancelled
                self._waiting.popleft()
                continue
            granted = self._carve(wanted)
            if granted is None:
                return
            self._waiting.popleft()
            future.set_result(granted)

    def _merge(self) -> None:
        merged: list[tuple[int, int]] = []
        for begin, size in self._free:
            if merged and merged[-1][0] + merged[-1][1] == begin:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((begin, size))
        self._free = merged
