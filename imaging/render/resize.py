"""Pictures in another size: square pixels, the aspect ratio kept, linear, and averaged where they shrink."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.errors import InvalidArgument
from imaging.render.picture_file import check_picture
from imaging.render.pixel_aspect import SENSIBLE_ASPECTS

MAX_SIDE: Final = 8192
"""The longest side that is made."""


@dataclass(frozen=True, slots=True)
class Viewport:
    """What part of a picture is shown, and how large (PS3.18 8.3.5.1.3).

    Raises
    ------
    InvalidArgument
        If it is not 1 to `MAX_SIDE` pixels wide and high, or the region is not finite.
    """

    columns: int
    rows: int
    left: float = 0.0
    top: float = 0.0
    width: float = 0.0
    """Of the region, in columns of the picture; 0: to its right edge; negative: mirrored left to right."""

    height: float = 0.0
    """Of the region, in rows of the picture; 0: to its lower edge; negative: mirrored top to bottom."""

    def __post_init__(self) -> None:
        if not (1 <= self.columns <= MAX_SIDE and 1 <= self.rows <= MAX_SIDE):
            raise InvalidArgument(
                f"A viewport of {self.columns} x {self.rows} pixels",
                where="viewport",
                hint=f"Width and height are 1 to {MAX_SIDE}.",
            )
        if not all(map(isfinite, (self.left, self.top, self.width, self.height))):
            raise InvalidArgument("The region of the viewport is not finite", where="viewport", hint="Give numbers.")


def resize(pixels: NDArray[np.uint8], longest_side: int, *, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """The picture with square pixels and that longest side.

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
        If the side is not 1 to `MAX_SIDE`, or the aspect is not sensible.
    """
    if not 1 <= longest_side <= MAX_SIDE:
        raise InvalidArgument(
            f"A picture of {longest_side} pixels cannot be made", where="resize", hint=f"1 to {MAX_SIDE} can."
        )
    return fit(pixels, Viewport(longest_side, longest_side), pixel_aspect=pixel_aspect)


def fit(pixels: NDArray[np.uint8], viewport: Viewport, *, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """The largest picture of the region that the viewport has room for, with square pixels; arguments as for `resize`.

    Raises
    ------
    InvalidArgument
        If no pixel is in the region, or the aspect is not sensible.
    """
    check_picture(pixels)
    if not SENSIBLE_ASPECTS[0] <= pixel_aspect <= SENSIBLE_ASPECTS[1]:
        raise InvalidArgument(
            f"Pixels with an aspect of {pixel_aspect:g} cannot be shown",
            where="resize",
            hint=f"It is {SENSIBLE_ASPECTS[0]:g} to {SENSIBLE_ASPECTS[1]:g}.",
        )
    left, top, right, bottom = _box(viewport, *pixels.shape[:2])
    width, height = right - left, (bottom - top) * pixel_aspect
    scale = min(viewport.columns / width, viewport.rows / height)
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    if (rows, columns) != pixels.shape[:2] or (left, top, right, bottom) != (0, 0, columns, rows):
        image = Image.fromarray(np.ascontiguousarray(pixels))
        resized = image.resize((columns, rows), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        pixels = np.asarray(resized)
    pixels = pixels[:, ::-1] if viewport.width < 0 else pixels
    return pixels[::-1] if viewport.height < 0 else pixels


def _box(viewport: Viewport, rows: int, columns: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom border of what is there of the region."""
    left, top = abs(viewport.left), abs(viewport.top)
    right = min(left + abs(viewport.width), columns) if viewport.width else columns
    bottom = min(top + abs(viewport.height), rows) if viewport.height else rows
    if left >= right or top >= bottom:
        raise InvalidArgument(
            "No pixel of the image is in the region of the viewport",
            where="viewport",
            hint=f"The image has {columns} columns and {rows} rows.",
        )
    return left, top, right, bottom
