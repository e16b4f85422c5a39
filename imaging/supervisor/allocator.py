"""How this process's memory allocator keeps what was freed: in few heaps, and not for long."""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # <malloc.h>
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_SETTINGS: Final = {
    # Each thread that decodes would get a heap of its own, whose holes no other thread fills: a service that had read
    # large objects kept 40 to 70 MiB more with the default (8 heaps a core), and did not come back to where it was.
    _M_ARENA_MAX: 2,
    # Unasked, glibc raises both up to 32 MiB by itself after the first large block, and large blocks then stay.
    _M_TRIM_THRESHOLD: 1 << 20,
    _M_MMAP_THRESHOLD: 4 << 20,
}


def give_memory_back() -> None:
    """Bound what glibc keeps of freed memory. Where the C library has no `mallopt`, nothing happens.

    To be called before threads are started: a thread keeps the heap that it has.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in _SETTINGS.items():
            mallopt(setting, value)
