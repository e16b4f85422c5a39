"""Voxels that are no image: outside of the field of view, filled with PixelPaddingValue (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.volume.volume import Volume


def padding_value(volume: Volume) -> float | None:
    """In the unit of the voxels; None where the series has none."""
    told = volume.attributes.get("PixelPaddingValue")
    return None if told is None else float(told)


def padding_text(value: float) -> str:
    """As it stands in `Volume.attributes`: reading it back gives exactly the value."""
    return f"{value:.17g}"


def is_padding(voxels: NDArray[Any], value: float | None) -> NDArray[np.bool_] | None:
    """True where voxels of a volume, any shape, are padding; None where none are."""
    if value is None:
        return None
    found: NDArray[np.bool_] = voxels == (np.float32(value) if voxels.dtype.kind == "f" else value)
    return found if found.any() else None


def below(voxels: NDArray[np.float32] | NDArray[np.int16]) -> float:
    """A value for padding below all others, and near: 16 bits are spread over both where an image is stored."""
    low, high = float(voxels.min()), float(voxels.max())
    if voxels.dtype.kind == "i":
        return max(low - 1.0, -32768.0)
    if high - low >= 1000 or low == high:
        return float(np.float32(math.floor(low) - 1.0))
    step = max((high - low) / 1000, 2 * float(np.spacing(np.float32(max(abs(low), abs(high))))))
    return float(np.float32(low - step))


def one_padding(
    voxels: NDArray[np.float32] | NDArray[np.int16], ranges: Sequence[tuple[float, float] | None]
) -> float | None:
    """Give all padding of a volume one value, in place; None where there is none.

    It is the value that all slices tell. Where they do not tell the same, it is one below all voxels, as the padding of
    a slice may be tissue in another.

    Parameters
    ----------
    ranges
        For each slice the padding value and the limit of its range, in the unit of the voxels.
    """
    told = {limits[0] if limits else None for limits in ranges}
    if told == {None}:
        return None
    (value, *others) = told
    is_same = not others and value is not None and _holds(voxels, value)
    if value is None or not is_same:
        value = below(voxels)
    found = False
    for plane, limits in zip(voxels, ranges, strict=True):
        if limits is None or (is_same and limits[0] == limits[1]):
            continue
        low, high = sorted(limits)
        padding = (plane >= _nearest(voxels, low)) & (plane <= _nearest(voxels, high))
        plane[padding] = value
        found = found or bool(padding.any())
    return value if is_same or found else None


def _holds(voxels: NDArray[Any], value: float) -> bool:
    return voxels.dtype.kind == "f" or bool(_nearest(voxels, value) == value)


def _nearest(voxels: NDArray[Any], value: float) -> Any:
    """The value in the type of the voxels; the end of its range where it lies beyond."""
    if voxels.dtype.kind == "f":
        return np.float32(value)
    limits = np.iinfo(voxels.dtype)
    return voxels.dtype.type(min(max(value, limits.min), limits.max))


def with_nearest(plane: NDArray[Any], padding: NDArray[np.bool_]) -> NDArray[Any]:
    """A plane where padding has the value of the nearest pixel that is none, so that filters see no edge there."""
    nearest = ndimage.distance_transform_edt(padding, return_distances=False, return_indices=True)
    filled: NDArray[Any] = plane[tuple(nearest)]
    return filled
