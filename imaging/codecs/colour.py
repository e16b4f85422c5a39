"""YCbCr to RGB, in full range (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import PixelDataInvalid

_YBR_TO_RGB = np.array(
    [[1.0, 1.0, 1.0], [0.0, -0.114 * 1.772 / 0.587, 1.772], [1.402, -0.299 * 1.402 / 0.587, 0.0]], np.float32
)
_CHROMINANCE_ZERO = np.array([0, 128, 128], np.float32)


def ybr_to_rgb(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB, shape (rows, columns, 3) as given, rounded half up as ISO/IEC 10918-5 section 7 has it.

    Raises
    ------
    PixelDataInvalid
        If the samples are not bytes: the Standard defines the conversion for 8 bits.
    """
    if samples.dtype != np.uint8:
        raise PixelDataInvalid(
            f"YBR_FULL samples of {samples.dtype.itemsize * 8} bits cannot be converted to RGB",
            where="Photometric Interpretation (0028,0004)",
            hint="YBR_FULL is defined for unsigned samples of 8 bits.",
        )
    colours = samples.astype(np.float32)
    colours -= _CHROMINANCE_ZERO
    rgb = colours @ _YBR_TO_RGB
    rgb += 0.5
    np.floor(rgb, out=rgb)
    np.clip(rgb, 0, 255, out=rgb)
    return rgb.astype(np.uint8)
