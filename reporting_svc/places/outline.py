"""Outlines as SCOORD has them: pairs of column and row, (0, 0) being the corner of the first pixel (PS3.3 C.18.6)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage import measure

_TOLERANCE_PIXELS: Final = 0.25
"""So far a point of an outline may be off when others are left out."""

_FEWEST_POINTS: Final = 6
"""Viewers take a closed polyline of four corners for a rectangle that somebody drew, and measure in it anew."""

_CENTRE: Final = 0.5
"""Of a pixel, from its corner."""


def mask_outline(mask: NDArray[np.bool_]) -> tuple[float, ...]:
    """The closed outline of the largest part of a mask; empty for an empty one.

    Parameters
    ----------
    mask
        Shape (rows, columns).
    """
    padded = np.pad(mask.astype(np.float64), 1)
    contours = measure.find_contours(padded, 0.5)  # type: ignore[no-untyped-call] # untyped
    if not contours:
        return ()
    largest = max(contours, key=_area)
    simple = measure.approximate_polygon(largest, _TOLERANCE_PIXELS)  # type: ignore[no-untyped-call] # untyped
    columns_and_rows = simple[:, ::-1] - 1 + _CENTRE
    return _told(np.clip(columns_and_rows, 0, np.asarray(mask.shape)[::-1]))


def frame_outline(rows: int, columns: int) -> tuple[float, ...]:
    """The border of a whole frame: what is told of an image as such is told of that."""
    return _told(np.array([[0, 0], [columns, 0], [columns, rows], [0, rows], [0, 0]], dtype=np.float64))


def _area(contour: NDArray[np.float64]) -> float:
    """Of a closed contour, by the shoelace formula."""
    rows, columns = contour[:, 0], contour[:, 1]
    return abs(float(np.dot(rows[:-1], columns[1:]) - np.dot(rows[1:], columns[:-1]))) / 2


def _told(points: NDArray[np.float64]) -> tuple[float, ...]:
    if len(points) < _FEWEST_POINTS:
        between = (points[:-1] + points[1:]) / 2
        points = np.insert(points, np.arange(1, len(points)), between, axis=0)
    return tuple(round(float(each), 3) for each in points.ravel())
