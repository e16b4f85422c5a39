"""Masks drawn over a picture: a translucent fill and an outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import InvalidArgument

Colour = tuple[int, int, int]
"""Red, green, blue from 0 to 255."""


def draw_mask(
    picture: NDArray[np.uint8],
    mask: NDArray[Any],
    colour: Colour,
    alpha: float = 0.3,
    *,
    outline: bool = True,
) -> NDArray[np.uint8]:
    """RGB, shape (rows, columns, 3): the picture with the mask filled in that colour and its border drawn opaque.

    Parameters
    ----------
    picture
        uint8, (rows, columns) or (rows, columns, 3); it is not changed.
    mask
        (rows, columns), what is not zero belongs to it.
    alpha
        Opacity of the fill from 0 to 1.
    outline
        Draw the mask's own outermost pixels in the full colour.

    Raises
    ------
    InvalidArgument
        If mask and picture differ in size, or `alpha` is not 0 to 1.
    """
    if mask.shape != picture.shape[:2]:
        raise InvalidArgument(
            f"A mask of shape {mask.shape} over a picture of {picture.shape[:2]}",
            where="draw_mask",
            hint="Resize both in the same way, or draw before resizing.",
        )
    if not 0.0 <= alpha <= 1.0:
        raise InvalidArgument(f"An opacity of {alpha:g}", where="draw_mask", hint="It is 0 to 1.")
    rgb = as_rgb(picture)
    inside = mask != 0
    tint = np.asarray(colour, dtype=np.float64)
    rgb[inside] = np.floor(rgb[inside] * (1.0 - alpha) + tint * alpha + 0.5).astype(np.uint8)
    if outline:
        rgb[border(inside)] = colour
    return rgb


def as_rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy with three channels, shape (rows, columns, 3)."""
    return np.repeat(picture[:, :, np.newaxis], 3, axis=2) if picture.ndim == 2 else picture.copy()


def border(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of the mask that have a neighbour above, below, left or right outside it or outside the picture."""
    framed = np.pad(inside, 1)
    surrounded = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return inside & ~surrounded
