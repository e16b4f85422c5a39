"""Rendered pixels as a PNG or JPEG file: the same pixels always give the same bytes."""

from __future__ import annotations

from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.errors import InvalidArgument

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"

SMALLEST_LEVEL: Final = 6
"""Of PNG's compression; noisy images hardly shrink further by a higher one than 1."""

DEFAULT_QUALITY: Final = 90


def encode_png(pixels: NDArray[np.uint8], *, at_once: bool = False) -> bytes:
    """A PNG file without any metadata.

    Parameters
    ----------
    pixels
        uint8, shape (rows, columns) or (rows, columns, 3) as RGB.
    at_once
        For somebody who waits: one filter for all rows, and of repetitions only runs. A CT slice takes a third of the
        time of level 1, and as many bytes.

    Raises
    ------
    InvalidArgument
        If the shape or type is another one.
    """
    check_picture(pixels)
    pixels = np.ascontiguousarray(pixels)
    if at_once:
        run_lengths, differences = imagecodecs.PNG.STRATEGY.RLE, imagecodecs.PNG.FILTER.SUB
        return bytes(imagecodecs.png_encode(pixels, level=1, strategy=run_lengths, filter=differences))
    return bytes(imagecodecs.png_encode(pixels, level=SMALLEST_LEVEL))


def encode_jpeg(pixels: NDArray[np.uint8], *, quality: int = DEFAULT_QUALITY) -> bytes:
    """A JPEG file without any metadata.

    Parameters
    ----------
    pixels
        As for `encode_png`.
    quality
        1 to 100.

    Raises
    ------
    InvalidArgument
        If shape, type or quality is another one.
    """
    check_picture(pixels)
    if not 1 <= quality <= 100:
        raise InvalidArgument(f"A JPEG quality of {quality}", where="quality", hint="It is 1 to 100.")
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=quality))


def check_picture(pixels: NDArray[np.uint8]) -> None:
    """Pass if the pixels are a picture.

    Raises
    ------
    InvalidArgument
        If not.
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise InvalidArgument(
            f"Pixels of shape {pixels.shape} and type {pixels.dtype} are no picture",
            where="pixels",
            hint="They are uint8, (rows, columns) or (rows, columns, 3).",
        )
