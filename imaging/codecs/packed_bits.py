"""Pixels of one bit, eight a byte, lowest first, frames without a gap between them (PS3.5 8.1.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def packed_bits(packed: NDArray[np.uint8], begin: int, count: int) -> NDArray[np.uint8]:
    """The bits from `begin`, counted from 0, as zeros and ones; fewer than `count` where the bytes end before."""
    part = packed[begin // 8 : (begin + count + 7) // 8]
    return np.unpackbits(part, bitorder="little")[begin % 8 : begin % 8 + count]
