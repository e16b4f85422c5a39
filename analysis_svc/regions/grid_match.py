"""Does a drawn plane lie on a slice of the volume? Where it does not, nothing is measured."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.errors import VolumeRefused
from imaging.volume.volume import Volume

_COSINE_TOLERANCE: Final = 2e-3
_PIXEL_TOLERANCE: Final = 0.1
"""Of a pixel: what rounded positions make."""

_SPACING_TOLERANCE: Final = 1e-3
SLICE_TOLERANCE: Final = 0.1
"""Of the distance of two slices."""


def volume_index(volume: Volume, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional indices, (n, 3) as (slice, row, column), of patient coordinates, (n, 3) as (x, y, z) in mm."""
    index: NDArray[np.float64] = (points_mm - np.asarray(volume.origin_mm)) @ volume.direction.T / volume.spacing_mm
    return index


def slice_at(volume: Volume, place: float) -> int:
    """The slice of the volume at a fractional index.

    Raises
    ------
    VolumeRefused
        Rule `OFF_SLICE` if it is between two slices, `OUTSIDE_VOLUME` if it is beyond them.
    """
    index = round(place)
    if abs(place - index) > SLICE_TOLERANCE:
        raise _other_grid("OFF_SLICE", f"A plane lies {abs(place - index):.2f} slices away from the next image")
    if not 0 <= index < volume.voxels.shape[0]:
        raise _other_grid("OUTSIDE_VOLUME", "A plane lies beyond the images that are measured")
    return index


def slice_of_frame(
    volume: Volume,
    position_mm: tuple[float, ...],
    orientation: tuple[float, ...],
    pixel_spacing_mm: tuple[float, ...],
    shape: tuple[int, int],
) -> int:
    """The slice of the volume that a frame covers pixel for pixel.

    Parameters
    ----------
    position_mm, orientation, pixel_spacing_mm
        Of the frame (PS3.3 C.7.6.2).
    shape
        Rows and columns.

    Raises
    ------
    VolumeRefused
        Rule `OTHER_GRID` if its pixels are not those of the volume, else as `slice_at`.
    """
    directions = np.asarray(orientation, dtype=np.float64).reshape(2, 3)
    if shape != volume.voxels.shape[1:]:
        rows, columns = volume.voxels.shape[1:]
        raise _other_grid(
            "OTHER_GRID", f"Its frames have {shape[0]} x {shape[1]} pixels, the images {rows} x {columns}"
        )
    if np.abs(directions - volume.direction[[2, 1]]).max() > _COSINE_TOLERANCE:
        raise _other_grid("OTHER_GRID", "Its frames have another orientation than the images")
    if not np.allclose(pixel_spacing_mm, volume.spacing_mm[1:], rtol=_SPACING_TOLERANCE, atol=0):
        told = " x ".join(f"{step:.5g}" for step in pixel_spacing_mm)
        ours = " x ".join(f"{step:.5g}" for step in volume.spacing_mm[1:])
        raise _other_grid("OTHER_GRID", f"Its pixels are {told} mm large, those of the images {ours} mm")
    place, row, column = volume_index(volume, np.asarray([position_mm], dtype=np.float64))[0]
    if max(abs(row), abs(column)) > _PIXEL_TOLERANCE:
        raise _other_grid("OTHER_GRID", f"Its frames are shifted by {row:.2f} rows and {column:.2f} columns")
    return slice_at(volume, float(place))


def _other_grid(rule: str, what: str) -> VolumeRefused:
    return VolumeRefused(
        what, hint="Draw it on the images that are measured, or measure those.", metadata={"rule": rule}
    )
