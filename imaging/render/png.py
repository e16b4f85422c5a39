"""Rendered pixels as PNG: the same pixels always give the same bytes."""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.errors import InvalidArgument
from imaging.render.pixel_aspect import SENSIBLE_ASPECTS

_COMPRESSION_LEVEL = 6
MAX_SIDE = 8192
"""The longest side that `resize` makes."""


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file without any metadata.

    Parameters
    ----------
    pixels
        uint8, shape (rows, columns) or (rows, columns, 3) as RGB.

    Raises
    ------
    InvalidArgument
        If the shape or type is another one.
    """
    _check(pixels)
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_COMPRESSION_LEVEL))


def resize(pixels: NDArray[np.uint8], longest_side: int, *, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """The picture with square pixels and that longest side; linear, averaged where it shrinks.

    Parameters
    ----------
    pixels
        uint8, shape (rows, columns) or (rows, columns, 3).
    longest_side
        Pixels of the longer side of the result.
    pixel_aspect
        Height of a pixel over its width, as `imaging.render.pixel_aspect.pixel_aspect` reads it.

    Raises
    ------
    InvalidArgument
        If the side is not 1 to `MAX_SIDE`, or the aspect is not positive.
    """
    from skimage.transform import resize as resize_image  # it loads much of scipy, and many callers never resize

    _check(pixels)
    if not 1 <= longest_side <= MAX_SIDE or not SENSIBLE_ASPECTS[0] <= pixel_aspect <= SENSIBLE_ASPECTS[1]:
        raise InvalidArgument(
            f"A picture of {longest_side} pixels with a pixel aspect of {pixel_aspect:g} cannot be made",
            where="resize",
            hint=f"The longest side is 1 to {MAX_SIDE}, the aspect {SENSIBLE_ASPECTS[0]:g} to {SENSIBLE_ASPECTS[1]:g}.",
        )
    height, width = pixels.shape[0] * pixel_aspect, float(pixels.shape[1])
    scale = longest_side / max(height, width)
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    if (rows, columns) == pixels.shape[:2]:
        return pixels
    shape = (rows, columns, *pixels.shape[2:])
    resized: NDArray[np.float64] = resize_image(  # type: ignore[no-untyped-call]  # scikit-image has no types
        pixels.astype(np.float64), shape, order=1, anti_aliasing=True, preserve_range=True
    )
    return np.floor(np.clip(resized, 0, 255) + 0.5).astype(np.uint8)


def _check(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise InvalidArgument(
            f"Pixels of shape {pixels.shape} and type {pixels.dtype} are no picture",
            where="pixels",
            hint="They are uint8, (rows, columns) or (rows, columns, 3).",
        )
