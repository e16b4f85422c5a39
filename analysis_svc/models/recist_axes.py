"""Long and short axis of a thing in the slices that it was drawn or found in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from skimage import measure

_CUT_MM: Final = 0.1
"""Distance of the lines by which an outline is cut to find the short axis."""

_MOST_POINTS: Final = 2000
"""Of an outline in the comparison of all with all: its hull has far fewer."""


@dataclass(frozen=True, slots=True)
class RecistAxes:
    """The axes of one thing; ends are (slice, row, column) indices, fractional, counted from 0."""

    long_mm: float
    short_mm: float
    long_ends: NDArray[np.float64]
    """Shape (2, 3)."""

    short_ends: NDArray[np.float64]
    """Shape (2, 3), in the same slice."""


def recist_axes(
    level: NDArray[Any], slices: Iterable[int], spacing_mm: tuple[float, float, float]
) -> RecistAxes | None:
    """The axes of RECIST 1.1; None if there is no outline.

    The longest line in a slice, and the longest one at right angles to it in the same slice (Eisenhauer et al.: Eur J
    Cancer 45, 228, 2009).

    Parameters
    ----------
    level
        Shape (slices, rows, columns). The outline runs where it passes 0.5, between voxels.
    slices
        Indices of those that are looked at.
    spacing_mm
        Along (slices, rows, columns).
    """
    best: RecistAxes | None = None
    scale = np.asarray(spacing_mm[1:])
    for index in slices:
        contours = _contours(np.pad(np.asarray(level[index], dtype=np.float64), 1, constant_values=0.0))
        if not contours:
            continue
        outline = max(contours, key=len) - 1.0
        if len(outline) < 4:
            continue
        points = outline * scale
        first, second, length = _farthest(points)
        if best is None or length > best.long_mm:
            across = np.array([-(points[second] - points[first])[1], (points[second] - points[first])[0]]) / length
            short_mm, chord = _longest_chord(points, across)
            best = RecistAxes(
                length,
                short_mm,
                np.array([[index, *outline[first]], [index, *outline[second]]], dtype=np.float64),
                np.column_stack([[index, index], chord / scale]).astype(np.float64),
            )
    return best


def _farthest(points: NDArray[np.float64]) -> tuple[int, int, float]:
    """Indices of the two points with the greatest distance, and that."""
    step = -(-len(points) // _MOST_POINTS)
    distances = squareform(pdist(points[::step]))
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    return int(first) * step, int(second) * step, float(distances[first, second])


def _longest_chord(points: NDArray[np.float64], direction: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The longest line along a direction between two points of a closed outline, and its ends, shape (2, 2)."""
    normal = np.array([-direction[1], direction[0]])
    along, beside = points @ direction, points @ normal
    starts, ends = beside[:-1], beside[1:]
    longest, chord = 0.0, np.zeros((2, 2)) + points.mean(axis=0)
    for place in np.arange(beside.min() + _CUT_MM / 2, beside.max(), _CUT_MM):
        crossing = (starts <= place) != (ends <= place)
        if crossing.sum() < 2:
            continue
        part = (place - starts[crossing]) / (ends[crossing] - starts[crossing])
        cuts = along[:-1][crossing] + part * (along[1:][crossing] - along[:-1][crossing])
        low, high = float(cuts.min()), float(cuts.max())
        if high - low > longest:
            longest = high - low
            chord = np.array([low * direction + place * normal, high * direction + place * normal])
    return longest, chord


def _contours(level: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Outlines at 0.5 as (row, column) points, the last of each being the first again."""
    outlines: list[NDArray[np.float64]] = measure.find_contours(level, 0.5)  # type: ignore[no-untyped-call] # untyped
    return outlines
