"""The same voxels along other planes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.errors import InvalidArgument
from imaging.volume.padding import below, is_padding, padding_text, padding_value
from imaging.volume.resample import MAX_VOXELS, Progress
from imaging.volume.volume import Volume

_EDGE: Final = 1e-6
"""Of a voxel: a centre this close to the outer edge counts as inside."""

_BLOCK_PIXELS: Final = 1 << 19
"""Of a plane, computed at once: some 60 MiB of places and values in double precision."""

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
    value holds. What lies beyond them, or has a part of padding, is padding: the value that the volume has for it, else
    one below the smallest, as `attributes["PixelPaddingValue"]` tells.

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
    padded = is_padding(volume.voxels, padding_value(volume))
    padding = padding_value(volume)
    padding = below(volume.voxels) if padding is None else padding
    any_padding = False
    sources = []
    rows = max(1, _BLOCK_PIXELS // shape[2])
    for index in range(shape[0]):
        slices = []
        for top in range(0, shape[1], rows):
            block = result[index, top : top + rows]
            pixels = np.indices(block.shape).reshape(2, -1)
            place = matrix[:, 1:] @ pixels + (matrix[:, 0] * index + matrix[:, 1] * top + offset)[:, None]
            within = ((place >= -0.5 - _EDGE) & (place <= (old_shape - 0.5 + _EDGE)[:, None])).all(axis=0)
            block[...] = _interpolated(volume.voxels, place).reshape(block.shape)
            outside = ~within if padded is None else ~within | (_shares(padded, place) > _EDGE)
            block[outside.reshape(block.shape)] = padding
            any_padding = any_padding or bool(outside.any())
            met = place[0, within] if within.any() else place[0]
            slices.append((bool(within.any()), met.min(), met.max()))
        sources.append(_between(slices, len(volume.frames)))
        if progress is not None:
            progress(index + 1, shape[0])
    attributes = dict(volume.attributes)
    if any_padding:
        attributes["PixelPaddingValue"] = padding_text(padding)
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


def _shares(padded: NDArray[np.bool_], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each value at fractional indices is padding, 0 to 1."""
    shares: NDArray[np.float64] = ndimage.map_coordinates(
        padded.view(np.uint8), place, output=np.float64, order=1, mode="nearest", prefilter=False
    )
    return shares


def _between(blocks: list[tuple[bool, float, float]], count: int) -> tuple[int, int]:
    """First and last of the old slices that the values of a plane came from.

    Parameters
    ----------
    blocks
        Whether a part of the plane meets the volume, and between which fractional slices it lies; others do not count
        where any does.
    """
    met = [block for block in blocks if block[0]] or blocks
    first, last = math.floor(min(low for _, low, _ in met) + _EDGE), math.ceil(max(high for *_, high in met) - _EDGE)
    return max(0, min(first, count - 1)), max(0, min(last, count - 1))
