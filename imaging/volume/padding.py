"""Voxels that are no image: outside of the field of view, filled with PixelPaddingValue (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

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


def with_nearest(plane: NDArray[Any], padding: NDArray[np.bool_]) -> NDArray[Any]:
    """A plane where padding has the value of the nearest pixel that is none, so that filters see no edge there."""
    nearest = ndimage.distance_transform_edt(padding, return_distances=False, return_indices=True)
    filled: NDArray[Any] = plane[tuple(nearest)]
    return filled
