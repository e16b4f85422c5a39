"""Which voxels belong to the right and which to the left lung."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_GRID_MM: Final = 2.5
"""The lungs are parted on a grid about this coarse: a thin junction needs no finer one, and a chest has 80 million
voxels."""

_LEAST_PART: Final = 0.12
"""A side is a part of at least this size; with one lung collapsed or removed, there is only one."""

_MAX_EROSIONS: Final = 8


def split_sides(
    lungs: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], bool]:
    """(right, left, whether they touched); axes (z, y, x), x to the patient's left.

    Regions that are apart go to the side on which they lie. If both lungs are one region, as at a thin anterior
    junction line, it is eroded until it falls into two large parts, and each voxel goes to the nearer part.
    """
    nothing = np.zeros_like(lungs)
    if not lungs.any():
        return nothing, nothing, False
    steps = tuple(max(1, round(_GRID_MM / step)) for step in spacing_mm)
    coarse = lungs[:: steps[0], :: steps[1], :: steps[2]]
    seeds, erosions = _two_parts(coarse)
    if seeds is None:
        middle = lungs.shape[2] / 2
        centre = float(np.average(np.arange(lungs.shape[2]), weights=lungs.sum(axis=(0, 1))))
        return (lungs, nothing, False) if centre < middle else (nothing, lungs, False)
    nearest = ndimage.distance_transform_edt(
        seeds == 0,
        sampling=[step * mm for step, mm in zip(steps, spacing_mm, strict=True)],
        return_distances=False,
        return_indices=True,
    )
    sides = seeds[tuple(nearest)]
    for axis in range(3):
        sides = np.repeat(sides, steps[axis], axis=axis)
    sides = sides[: lungs.shape[0], : lungs.shape[1], : lungs.shape[2]]
    return lungs & (sides == 1), lungs & (sides == 2), erosions > 0


def _two_parts(coarse: NDArray[np.bool_]) -> tuple[NDArray[np.int8] | None, int]:
    """1 in the right and 2 in the left part, and how many erosions it took; None if there is but one part."""
    total = int(coarse.sum())
    eroded = coarse
    for erosions in range(_MAX_EROSIONS + 1):
        labels, count = ndimage.label(eroded)
        if count >= 2:
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            first, second = (int(number) for number in np.argsort(sizes)[::-1][:2])
            # Erosion takes from both parts; the eroded total is what they are parts of.
            if sizes[second] >= _LEAST_PART * sizes.sum() and sizes.sum() >= 0.02 * total:
                centres = ndimage.center_of_mass(labels > 0, labels, [first, second])
                if centres[0][2] > centres[1][2]:
                    first, second = second, first
                seeds = np.zeros(coarse.shape, dtype=np.int8)
                seeds[labels == first] = 1
                seeds[labels == second] = 2
                return seeds, erosions
        eroded = ndimage.binary_erosion(eroded)
        if not eroded.any():
            break
    return None, 0
