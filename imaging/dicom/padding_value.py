"""Pixel Padding Value and Range Limit as the stored values that they stand for (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_number


def stored_padding(header: Dataset, bits: int, *, signed: bool) -> tuple[int, int] | None:
    """Pixel Padding Value (0028,0120) and the Range Limit (0028,0121), or the value once more; None without a value.

    All values from one to the other are padding; the limit is on either side of the value. `bits` and `signed` as for
    `as_stored`.
    """
    value = first_number(header, "PixelPaddingValue")
    if value is None:
        return None
    limit = first_number(header, "PixelPaddingRangeLimit")
    first, last = (as_stored(int(each), bits, signed=signed) for each in (value, value if limit is None else limit))
    return first, last


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
