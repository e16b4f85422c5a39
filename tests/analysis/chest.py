"""The chest phantom for tests: made once a grid."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.phantom.truth import PhantomTruth
from imaging.volume.volume import SourceFrame, Volume

COARSE_MM = (3.0, 2.4, 2.4)
FINE_MM = (1.5, 1.2, 1.2)
QUICK_MM = (3.0, 4.0, 4.0)
"""For tests of invariance, which measure many times."""


@lru_cache(maxsize=4)
def chest(spacing_mm: tuple[float, float, float] = COARSE_MM) -> tuple[Volume, PhantomTruth]:
    """The phantom and its truth; the voxels must not be changed."""
    volume, truth = ct_chest_phantom(1, spacing_mm)
    volume.voxels.setflags(write=False)
    return volume, truth


def silent(done: int, total: int, unit: str, message: str) -> None:
    """A report that nobody reads."""


def hounsfield_volume(
    voxels: NDArray[Any], spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), **more: Any
) -> Volume:
    """An axial CT of the given voxels, slices to the head."""
    volume = Volume(
        voxels=voxels,
        spacing_mm=spacing_mm,
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        frames=tuple(SourceFrame(f"1.2.{index + 1}", "1.2.840.10008.5.1.4.1.1.2", 1) for index in range(len(voxels))),
        modality="CT",
        units="[hnsf'U]",
        slice_thickness_mm=spacing_mm[0],
    )
    return replace(volume, **more)


def seen_from(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same body, acquired with other slice, row and column directions.

    Parameters
    ----------
    order
        Which of the volume's axes becomes slices, rows and columns.
    flips
        Whether the new axis runs the other way.
    """
    voxels = volume.voxels.transpose(order)
    direction = volume.direction[list(order)].copy()
    spacing = [volume.spacing_mm[axis] for axis in order]
    origin = np.asarray(volume.origin_mm, dtype=np.float64)
    for axis in range(3):
        if flips[axis]:
            origin = origin + direction[axis] * spacing[axis] * (voxels.shape[axis] - 1)
            direction[axis] = -direction[axis]
    voxels = np.ascontiguousarray(np.flip(voxels, [axis for axis in range(3) if flips[axis]]))
    frames = tuple(SourceFrame(f"1.3.{index + 1}", "1.2.840.10008.5.1.4.1.1.2", 1) for index in range(len(voxels)))
    return replace(
        volume,
        voxels=voxels,
        direction=direction,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        frames=frames,
        slice_thickness_mm=None,
    )
