"""SUV peak: the largest mean over a sphere of one millilitre."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RADIUS_MM: Final = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
"""6.2 mm: 1 mL (Wahl et al.: J Nucl Med 50, 122S, 2009)."""

_PARTS: Final = 10
"""A voxel at the edge of the sphere counts by the part of it that is inside, told by so many points each way."""


def sphere_weights(spacing_mm: tuple[float, float, float], radius_mm: float = RADIUS_MM) -> NDArray[np.float64]:
    """The share of each voxel in a sphere round the centre of the middle one; they add up to 1.

    Parameters
    ----------
    spacing_mm
        Along (slices, rows, columns).
    """
    reach = [int(np.ceil(radius_mm / step - 0.5)) for step in spacing_mm]
    axes = [
        (np.arange((2 * count + 1) * _PARTS) + 0.5) / _PARTS * step - (count + 0.5) * step
        for count, step in zip(reach, spacing_mm, strict=True)
    ]
    inside = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2 <= radius_mm**2
    blocks = [part for count in reach for part in (2 * count + 1, _PARTS)]
    weights: NDArray[np.float64] = inside.reshape(blocks).sum(axis=(1, 3, 5)).astype(np.float64)
    weights /= weights.sum()
    return weights


def peak(
    voxels: NDArray[Any],
    box: tuple[slice, slice, slice],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> float | None:
    """The largest mean over a sphere of 1 mL whose centre is a voxel of a region; None if none fits into the volume.

    The sphere may reach out of the region, as the definition has it.

    Parameters
    ----------
    voxels
        The whole volume, axes (slice, row, column).
    box, mask
        Where the region is, and its voxels.
    """
    weights = sphere_weights(spacing_mm)
    reach = [size // 2 for size in weights.shape]
    wanted = [(part.start - margin, part.stop + margin) for part, margin in zip(box, reach, strict=True)]
    kept = tuple(slice(max(0, low), min(size, high)) for (low, high), size in zip(wanted, voxels.shape, strict=True))
    padding = [(part.start - low, high - part.stop) for (low, high), part in zip(wanted, kept, strict=True)]
    # Beyond the volume nothing is known: a sphere that reaches there gives no mean.
    around = np.pad(np.asarray(voxels[kept], dtype=np.float64), padding, constant_values=np.nan)
    means = ndimage.correlate(around, weights, mode="constant", cval=np.nan)
    centres = means[tuple(slice(margin, size - margin) for margin, size in zip(reach, means.shape, strict=True))]
    found = centres[mask & np.isfinite(centres)]
    return float(found.max()) if found.size else None
