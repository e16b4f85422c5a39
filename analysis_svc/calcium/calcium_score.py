"""Agatston score, volume and mean density of calcified lesions in a region, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

THRESHOLD_HU: Final = 130.0
SMALLEST_MM2: Final = 1.0
STANDARD_SLICE_MM: Final = 3.0
_DENSITY_STEPS: Final = (200.0, 300.0, 400.0)
"""The weight of a lesion is 1 from the threshold on, and one more from each of these maxima on."""

_TOUCHING: Final = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class CalciumScore:
    """What was found in a region."""

    agatston: float
    volume_mm3: float
    mean_hu: float
    """Over the voxels of the lesions; 0 without any."""

    lesion_sections: int
    """Lesions, each counted once a slice."""

    mask: NDArray[np.bool_]
    """Shape of what was given: the voxels of the lesions."""


def calcium_score(
    voxels: NDArray[Any], region: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> CalciumScore:
    """The calcium in a region of axial slices.

    In each slice, pixels of the region of 130 HU and more that touch by a side or a corner are a lesion, if they cover
    at least 1 mm2. Its score is its area times a weight of 1 to 4 by its maximum (130, 200, 300, 400 HU). The sum is
    that of slices 3 mm apart (Agatston et al.: J Am Coll Cardiol 15, 827, 1990); with other distances each slice counts
    by its part of 3 mm (Ohnesorge et al.: Eur Radiol 12, 1532, 2002).

    Parameters
    ----------
    voxels
        Hounsfield units, axes (slice, row, column).
    region
        Where calcium counts; of the same shape.
    spacing_mm
        Along (slices, rows, columns); the first one is the distance of the slices.
    """
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    score, sections = 0.0, 0
    mask = np.zeros(region.shape, dtype=np.bool_)
    dense = region & (voxels >= THRESHOLD_HU)
    for index in np.flatnonzero(dense.any(axis=(1, 2))):
        labels, count = ndimage.label(dense[index], structure=_TOUCHING)
        for number in range(1, count + 1):
            lesion = labels == number
            area_mm2 = float(np.count_nonzero(lesion)) * pixel_mm2
            if area_mm2 < SMALLEST_MM2 - 1e-9:
                continue
            maximum = float(voxels[index][lesion].max())
            score += area_mm2 * (1 + sum(maximum >= step for step in _DENSITY_STEPS))
            sections += 1
            mask[index] |= lesion
    return CalciumScore(
        agatston=score * spacing_mm[0] / STANDARD_SLICE_MM,
        volume_mm3=float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)),
        mean_hu=float(np.asarray(voxels[mask], dtype=np.float64).mean()) if mask.any() else 0.0,
        lesion_sections=sections,
        mask=mask,
    )
