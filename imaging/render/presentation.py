"""Display values to pixels on a screen: polarity, colour, padding (PS3.3 C.7.6.3.1.2, C.11.6, C.7.5.1.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import text
from imaging.dicom.padding_value import stored_padding
from imaging.errors import PixelDataInvalid


def is_inverted(header: Dataset) -> bool:
    """Whether low values are shown bright: MONOCHROME1, or a Presentation LUT Shape of INVERSE."""
    inverse = text(header, "PresentationLUTShape") == "INVERSE"
    return inverse or text(header, "PhotometricInterpretation") == "MONOCHROME1"


def to_bytes(display: NDArray[np.float64], *, inverted: bool = False) -> NDArray[np.uint8]:
    """Display values from 0 to 255, rounded half up; same shape."""
    rounded = np.floor(display + 0.5).astype(np.uint8)
    return np.subtract(255, rounded) if inverted else rounded


def rgb_to_bytes(stored: NDArray[Any], bits_stored: int) -> NDArray[np.uint8]:
    """RGB of 8 bits, shape (rows, columns, 3), out of decoded colour samples of any width.

    Raises
    ------
    PixelDataInvalid
        If there are not three samples a pixel.
    """
    if stored.ndim != 3 or stored.shape[2] != 3 or stored.dtype.kind != "u":
        raise PixelDataInvalid(
            f"Samples of shape {stored.shape} and type {stored.dtype} are no colour image",
            where="Samples per Pixel (0028,0002)",
            hint="Colour images that are rendered have three unsigned samples a pixel.",
        )
    return (stored >> (bits_stored - 8)).astype(np.uint8) if bits_stored > 8 else stored.astype(np.uint8)


def padding_mask(stored: NDArray[Any], header: Dataset) -> NDArray[np.bool_] | None:
    """Which pixels are outside the image (Pixel Padding Value and Range Limit); None if the header names none."""
    if stored.dtype.kind not in "iu":
        return None
    padding = stored_padding(header, stored.dtype.itemsize * 8, signed=stored.dtype.kind == "i")
    if padding is None:
        return None
    low, high = sorted(padding)
    return (stored >= low) & (stored <= high)
