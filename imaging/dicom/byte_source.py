"""The kinds of bytes that are scanned: in memory or mapped, never copied as a whole."""

from __future__ import annotations

import mmap
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap
"""Bytes that can be sliced and unpacked in place. A slice of any of them is small and is copied by `bytes()`."""


def flat_bytes(data: Buffer) -> Buffer:
    """The same memory, seen as single unsigned bytes."""
    if isinstance(data, memoryview) and (data.format != "B" or data.ndim != 1):
        return data.cast("B")
    return data
