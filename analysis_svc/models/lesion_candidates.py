"""Dense regions in the lungs that may be lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import isotropic_closing

_OPENING_MM: Final = 2.4
"""Vessels that are thinner than this come off; so do threads that tie a lesion to the chest wall."""

_MARGIN_MM: Final = 6.0
_CLOSING_MM: Final = 8.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dense region and where it lies."""

    box: tuple[slice, slice, slice]
    """Part of the volume, axes (z, y, x), with a margin of lung around the region."""

    region: NDArray[np.bool_]
    """Shape of the box; the voxels over the limit."""

    voxel_count: int
    elongation: float
    """Square root of the smallest by the largest variance along the main axes: 1 for a ball, near 0 for a thread
    (IBSI "flatness" is its counterpart for the least axis; Zwanenburg et al.: Radiology 295, 328, 2020)."""


def hull_of_lungs(lungs: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The lungs with what lies in them or in a notch of their border; axes (z, y, x).

    In each axial slice a closing bridges notches, then holes are filled: a lesion at the chest wall makes a notch.
    """
    hull = lungs.copy()
    margin_mm = _CLOSING_MM / 2
    rows, columns = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not len(rows):
        return hull
    place = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    room = [(int(margin_mm / step) + 2,) * 2 for step in spacing_mm[1:]]
    inside = tuple(slice(before, -after) for before, after in room)
    for index in np.flatnonzero(lungs.any(axis=(1, 2))):
        plane = np.pad(lungs[index][place], room)
        closed = isotropic_closing(plane, margin_mm, spacing=spacing_mm[1:])  # type: ignore[no-untyped-call] # untyped
        hull[index][place] = ndimage.binary_fill_holes(closed)[inside]
    return hull


def find_candidates(
    voxels: NDArray[Any],
    hull: NDArray[np.bool_],
    limit_hu: float,
    spacing_mm: tuple[float, float, float],
    *,
    volume_range_mm3: tuple[float, float],
    min_elongation: float,
) -> list[Candidate]:
    """Compact dense regions inside the hull of the lungs, the largest first.

    Parameters
    ----------
    voxels
        Hounsfield units, axes (z, y, x).
    hull
        The lungs with what is in them, as `hull_of_lungs` gives it.
    limit_hu
        Over this value a voxel is dense.
    spacing_mm
        Along (z, y, x).
    volume_range_mm3
        Of the regions that count.
    min_elongation
        Of the regions that count: 0 takes threads too, 1 only balls.
    """
    dense = hull & (voxels >= limit_hu)
    opened = ndimage.binary_opening(dense, _ball(_OPENING_MM / 2, spacing_mm))
    labels, _ = ndimage.label(opened)
    voxel_mm3 = float(np.prod(spacing_mm))
    margin = [max(2, round(_MARGIN_MM / step)) for step in spacing_mm]
    found = []
    for number, core in enumerate(ndimage.find_objects(labels), start=1):
        box = tuple(
            slice(max(0, part.start - reach), min(size, part.stop + reach))
            for part, reach, size in zip(core, margin, dense.shape, strict=True)
        )
        place = (box[0], box[1], box[2])
        # The opening took the rim of the region; it comes back where it is dense and next to the core.
        kept = labels[place] == number
        region = ndimage.binary_dilation(kept, ndimage.generate_binary_structure(3, 1), iterations=2) & dense[place]
        size = int(region.sum())
        if not volume_range_mm3[0] <= size * voxel_mm3 <= volume_range_mm3[1]:
            continue
        elongation = _elongation(region, spacing_mm)
        if elongation >= min_elongation:
            found.append(Candidate(place, region, size, elongation))
    return sorted(found, key=lambda candidate: (-candidate.voxel_count, [part.start for part in candidate.box]))


def _ball(radius_mm: float, spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    reach = [max(1, int(radius_mm / step)) for step in spacing_mm]
    z, y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1, -reach[2] : reach[2] + 1]
    distance = (z / reach[0]) ** 2 + (y / reach[1]) ** 2 + (x / reach[2]) ** 2
    ball: NDArray[np.bool_] = distance <= 1
    return ball


def _elongation(region: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    points = np.argwhere(region) * np.asarray(spacing_mm)
    # A voxel is a box of its own: its variance keeps a flat region from having none.
    covariance = np.cov(points.T, bias=True) + np.diag(np.square(spacing_mm) / 12)
    variances = np.linalg.eigvalsh(covariance)
    return float(np.sqrt(variances[0] / variances[-1]))
