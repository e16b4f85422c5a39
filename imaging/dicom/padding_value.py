"""Pixel Padding Value (0028,0120) as the stored value that it stands for."""

from __future__ import annotations


def as_stored(value: int, bits: int, *, signed: bool) -> int:
    """The value in the sign of the pixels; unchanged where it fits them already.

    The VR follows Pixel Representation (PS3.3 C.7.5.1), but headers often write a negative value unsigned (63536
    instead of -2000), and the other way round.

    Parameters
    ----------
    bits
        Of a stored value in memory: 8, 16, 32 or 64.
    signed
        Whether stored values are two's complement.
    """
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if lowest <= value <= highest:
        return value
    wrapped = value % (1 << bits)
    return wrapped - (1 << bits) if wrapped > highest else wrapped
