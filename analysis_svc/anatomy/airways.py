"""Trachea and main bronchi in a CT."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SEED_AREA_MM2: Final = (40.0, 700.0)
"""Cross section of a trachea; adults have 100 to 400 mm2 (Breatnach et al.: AJR 142, 903, 1984)."""

_SEED_SLICES_MM: Final = 90.0
"""How far below the top of the lungs the trachea is looked for."""

_LIMITS_HU: Final = (-950.0, -970.0, -985.0, -1000.0)
_LARGEST_ML: Final = 120.0
"""Larger regions have leaked into a lung (Mori et al.: ICPR 1996); the limit is made stricter then."""

_WALL_MM: Final = 1.5


def airways_mask(voxels: NDArray[Any], inner_air: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Any:
    """The trachea with the bronchi that can be followed from it, with the blurred rim of its lumen.

    A round, dark, central spot below the top of the inner air is the seed; the region of connected voxels under a
    limit grows from it, and the limit falls until the region does not leak into a lung. All False if none is found.

    Parameters
    ----------
    voxels
        Hounsfield units, axes (z, y, x), z to the head.
    inner_air
        Air in the body: lungs and airways, same shape.
    spacing_mm
        Along (z, y, x).
    """
    nothing = np.zeros(voxels.shape, dtype=np.bool_)
    seed = _seed(voxels, inner_air, spacing_mm)
    if seed is None:
        return nothing
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    for limit in _LIMITS_HU:
        if voxels[seed] > limit:
            continue
        labels, _ = ndimage.label(inner_air & (voxels <= limit))
        region = labels == labels[seed]
        if float(region.sum()) * voxel_ml <= _LARGEST_ML:
            rim = max(1, round(_WALL_MM / min(spacing_mm[1:])))
            plane = ndimage.generate_binary_structure(2, 1)[None]
            return ndimage.binary_dilation(region, plane, iterations=rim) & inner_air
    return nothing


def _seed(
    voxels: NDArray[Any], inner_air: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[int, int, int] | None:
    """Index of a voxel in the trachea."""
    used = np.flatnonzero(inner_air.any(axis=(1, 2)))
    if not len(used):
        return None
    top = int(used[-1])
    lowest = max(int(used[0]), top - round(_SEED_SLICES_MM / spacing_mm[0]))
    columns = np.flatnonzero(inner_air.any(axis=(0, 1)))
    middle, width = (columns[0] + columns[-1]) / 2, columns[-1] - columns[0] + 1
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    best: tuple[float, tuple[int, int, int]] | None = None
    for z in range(top, lowest - 1, -1):
        labels, count = ndimage.label(inner_air[z])
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            spot = labels[box] == number
            area = float(spot.sum()) * pixel_mm2
            extent = [(part.stop - part.start) * step for part, step in zip(box, spacing_mm[1:], strict=True)]
            # A disc fills 0.79 of its box; lung tips that are as small are flat or off the middle.
            if not _SEED_AREA_MM2[0] <= area <= _SEED_AREA_MM2[1] or max(extent) > 2.2 * min(extent):
                continue
            y, x = (round(float(c)) for c in ndimage.center_of_mass(labels == number))
            if abs(x - middle) > 0.2 * width or labels[y, x] != number or voxels[z, y, x] > _LIMITS_HU[0]:
                continue
            score = abs(x - middle) / width + (top - z) / (top - lowest + 1) * 0.1
            if best is None or score < best[0]:
                best = (score, (z, y, x))
        if best is not None and count and best[1][0] - z > round(20.0 / spacing_mm[0]):
            break
    return None if best is None else best[1]
