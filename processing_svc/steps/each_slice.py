"""A filter on each slice of a volume, where padding takes no part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.volume.padding import is_padding, padding_value, with_nearest
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress

_INT16 = np.iinfo(np.int16)


def each_slice(volume: Volume, filtered: Callable[[NDArray[np.float64]], NDArray[Any]], progress: Progress) -> Volume:
    """The volume with each slice filtered, same grid and dtype (whole numbers rounded, within 16 bits).

    The filter sees the nearest value of the image in place of padding, which stays as it is.

    Parameters
    ----------
    filtered
        From a plane, shape (rows, columns), to one of the same shape.
    """
    value, count = padding_value(volume), volume.voxels.shape[0]
    result = volume.voxels.copy()
    for index, plane in enumerate(volume.voxels):
        padding = is_padding(plane, value)
        if padding is None or not padding.all():
            made = filtered((plane if padding is None else with_nearest(plane, padding)).astype(np.float64))
            kept = np.rint(made).clip(_INT16.min, _INT16.max) if result.dtype.kind == "i" else made
            result[index] = kept if padding is None else np.where(padding, plane, kept)
        progress(index + 1, count)
    return replace(volume, voxels=result)
