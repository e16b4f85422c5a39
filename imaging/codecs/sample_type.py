"""The numpy type that holds the stored values of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import PixelDataInvalid


def sample_type(pixels: PixelDescription) -> np.dtype[Any]:
    """The type of one sample by Bits Allocated and Pixel Representation; a 1-bit sample is an unsigned byte.

    Raises
    ------
    PixelDataInvalid
        If numpy has no such type (24 bits, say).
    """
    if pixels.bits_allocated == 1:
        return np.dtype(np.uint8)
    kind = "f" if pixels.is_float else "i" if pixels.pixel_representation else "u"
    size = pixels.bits_allocated // 8
    if pixels.bits_allocated % 8 or size not in ((4, 8) if pixels.is_float else (1, 2, 4, 8)):
        raise PixelDataInvalid(
            f"Samples of {pixels.bits_allocated} bits cannot be decoded",
            where="Bits Allocated (0028,0100)",
            hint="1, 8, 16, 32 and 64 bits can be (32 and 64 in floating point).",
        )
    return np.dtype(f"{kind}{size}")
