"""How noisy a volume is, told from the volume itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
"""The difference of two Laplacians: blind to flat, sloping and evenly curved tissue (Immerkaer 1996,
doi:10.1006/cviu.1996.0060)."""

_KERNEL_NORM = 6.0
_MEDIAN_OF_NORMAL = 0.6744897501960817
"""Median of the absolute value of a standard normal variable."""


def noise_level(voxels: NDArray[np.float32] | NDArray[np.int16]) -> float:
    """The standard deviation of white noise in the slices, in the unit of the voxels; 0 if there is none.

    The median of the filter's answer over all slices is taken instead of Immerkaer's mean, so that edges do not count.
    Places where the answer is exactly 0 (air outside the field of view, padding) are left out.

    Parameters
    ----------
    voxels
        Shape (slices, rows, columns).
    """
    answers = []
    for plane in voxels:
        answer = np.abs(ndimage.convolve(plane.astype(np.float64), _KERNEL, mode="nearest"))[1:-1, 1:-1]
        answers.append(answer[answer > 0])
    found = np.concatenate(answers) if answers else np.empty(0)
    if found.size == 0:
        return 0.0
    return float(np.median(found)) / (_MEDIAN_OF_NORMAL * _KERNEL_NORM)
