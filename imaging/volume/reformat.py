"""The same voxels along other planes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.errors import InvalidArgument
from imaging.volume.resample import MAX_VOXELS, Progress
from imaging.volume.volume import Volume

_EDGE: Final = 1e-6
"""Of a voxel: a centre this close to the outer edge counts as inside."""

_ORTHOGONAL: Final = 1e-4
"""The largest cosine between two directions that count as perpendicular."""


def reformat(
    volume: Volume,
    row_direction: tuple[float, float, float],
    column_direction: tuple[float, float, float],
    spacing_mm: tuple[float, float, float],
    progress: Progress | None = None,
) -> Volume:
    """The volume by linear interpolation on planes of another orientation, with the same dtype (whole numbers rounded).

    The new grid has the same middle and holds the whole old one. Up to the outer edges of the old voxels the nearest
    value holds; beyond them a value that is one less than the smallest, as `attributes["PixelPaddingValue"]` tells.

    Parameters
    ----------
    row_direction, column_direction
        Image Orientation (Patient) (PS3.3 C.7.6.2.1.1): where the index grows along a row and down a column, as
        (x, y, z); any length.
    spacing_mm
        (slices, rows, columns).

    Raises
    ------
    InvalidArgument
        If the directions are not perpendicular, a spacing is not positive, or there would be more than `MAX_VOXELS`.
    """
    direction = _direction(row_direction, column_direction)
    if not all(math.isfinite(step) and step > 0 for step in spacing_mm):
        raise InvalidArgument(
            f"The spacing {spacing_mm} mm is not three positive numbers", where="spacing_mm", hint="Give millimetres."
        )
    old_shape = np.array(volume.voxels.shape)
    corners = np.array(np.meshgrid(*((-0.5, count - 0.5) for count in old_shape), indexing="ij")).reshape(3, -1).T
    along = volume.to_patient_mm(corners) @ direction.T
    extent = along.max(axis=0) - along.min(axis=0)
    shape = tuple(max(1, math.ceil(length / step - 1e-3)) for length, step in zip(extent, spacing_mm, strict=True))
    if math.prod(shape) > MAX_VOXELS:
        raise InvalidArgument(
            f"The result would have {shape[0]} x {shape[1]} x {shape[2]} voxels, more than {MAX_VOXELS}",
            where="spacing_mm",
            hint="Choose a larger spacing.",
        )
    middle = volume.to_patient_mm(((old_shape - 1) / 2)[None, :])[0]
    steps = direction.T * np.asarray(spacing_mm)  # columns: one step of the new index, in mm
    origin = middle - steps @ ((np.array(shape) - 1) / 2)
    to_old = np.linalg.inv(volume.affine[:3, :3])
    matrix, offset = to_old @ steps, to_old @ (origin - np.asarray(volume.origin_mm))

    result = np.empty(shape, dtype=volume.voxels.dtype)
    outside = np.zeros(shape, dtype=bool)
    sources = []
    plane = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")).reshape(2, -1)
    in_plane = matrix[:, 1:] @ plane
    for index in range(shape[0]):
        place = in_plane + (matrix[:, 0] * index + offset)[:, None]
        within = ((place >= -0.5 - _EDGE) & (place <= (old_shape - 0.5 + _EDGE)[:, None])).all(axis=0)
        result[index] = _interpolated(volume.voxels, place).reshape(shape[1:])
        outside[index] = ~within.reshape(shape[1:])
        sources.append(_between(place[0, within] if within.any() else place[0], len(volume.frames)))
        if progress is not None:
            progress(index + 1, shape[0])
    attributes = dict(volume.attributes)
    if outside.any():
        result[outside] = padding = _padding(volume.voxels)
        attributes["PixelPaddingValue"] = f"{padding:g}"
    return replace(
        volume,
        voxels=result,
        spacing_mm=spacing_mm,
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=direction,
        frames=tuple(volume.frames[(first + last) // 2] for first, last in sources),
        sources=tuple(volume.sources_of(first, last + 1) for first, last in sources),
        slice_thickness_mm=spacing_mm[0],
        attributes=attributes,
    )


def _direction(row: tuple[float, float, float], column: tuple[float, float, float]) -> NDArray[np.float64]:
    """Unit vectors along which the index grows, for (slices, rows, columns)."""
    vectors = np.array([row, column], dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    if vectors.shape != (2, 3) or not np.isfinite(vectors).all() or (lengths < 1e-6).any():
        raise InvalidArgument(
            "A direction is not three numbers of which one is not zero", where="row_direction", hint="Give x, y, z."
        )
    along_row, down_column = vectors / lengths[:, None]
    if abs(float(along_row @ down_column)) > _ORTHOGONAL:
        raise InvalidArgument(
            "Rows and columns are not perpendicular", where="column_direction", hint="Their dot product must be 0."
        )
    normal = np.cross(along_row, down_column)
    return np.stack([normal / np.linalg.norm(normal), down_column, along_row])


def _interpolated(voxels: NDArray[np.float32] | NDArray[np.int16], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at fractional indices, shape (3, n); beyond the outermost centres the nearest ones."""
    values: NDArray[np.float64] = ndimage.map_coordinates(
        voxels, place, output=np.float64, order=1, mode="nearest", prefilter=False
    )
    return np.rint(values) if voxels.dtype.kind == "i" else values


def _between(slices: NDArray[np.float64], count: int) -> tuple[int, int]:
    """First and last of the old slices that the values of a plane came from."""
    first, last = math.floor(float(slices.min()) + _EDGE), math.ceil(float(slices.max()) - _EDGE)
    return max(0, min(first, count - 1)), max(0, min(last, count - 1))


def _padding(voxels: NDArray[np.float32] | NDArray[np.int16]) -> float:
    lowest = float(voxels.min())
    return max(math.floor(lowest) - 1.0, -32768.0) if voxels.dtype.kind == "i" else math.floor(lowest) - 1.0
