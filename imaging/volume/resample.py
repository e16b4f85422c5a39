"""The same volume on a finer or coarser grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.errors import InvalidArgument
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume

Progress = Callable[[int, int], None]
"""Called with (done, total) in slices; it may raise to end the work."""

MAX_VOXELS: Final = 1 << 29
"""1 GiB of int16; a spacing that asks for more is a slip of the decimal point."""

_SLAB_VOXELS: Final = 1 << 21
"""Output voxels computed at once: the slab, in double precision, is 16 MiB."""

_LEAST_SHARE: Final = 1e-4
"""Of padding in a value; less is rounding."""


def resample(volume: Volume, spacing_mm: tuple[float, float, float], progress: Progress | None = None) -> Volume:
    """The volume by linear interpolation on a grid of another spacing, with the same dtype (whole numbers rounded).

    The new grid has the same directions and the same middle, and as many voxels as come nearest to the old extent
    (outer voxel edges, not centres); the origin is the exact centre of its first voxel. Beyond the outermost centres
    the nearest value holds. What has a part of padding is padding.
    `frames` names for each new slice the nearest old one. The slice thickness stays: to
    interpolate does not make thin slices out of thick ones.

    Parameters
    ----------
    spacing_mm
        (slices, rows, columns).
    progress
        See `Progress`.

    Raises
    ------
    InvalidArgument
        If a spacing is not a positive number, or the result would have more than `MAX_VOXELS` voxels.
    """
    if not all(math.isfinite(step) and step > 0 for step in spacing_mm):
        raise InvalidArgument(
            f"The spacing {spacing_mm} mm is not three positive numbers", where="spacing_mm", hint="Give millimetres."
        )
    extent = [count * step for count, step in zip(volume.voxels.shape, volume.spacing_mm, strict=True)]
    shape = tuple(max(1, round(length / step)) for length, step in zip(extent, spacing_mm, strict=True))
    if math.prod(shape) > MAX_VOXELS:
        raise InvalidArgument(
            f"The result would have {shape[0]} x {shape[1]} x {shape[2]} voxels, more than {MAX_VOXELS}",
            where="spacing_mm",
            hint="Choose a larger spacing.",
        )
    ratio = np.array([new / old for new, old in zip(spacing_mm, volume.spacing_mm, strict=True)])
    # Index of the first new centre on the old grid: both grids have the same middle.
    first = (np.array(volume.voxels.shape) - 1) / 2 - (np.array(shape) - 1) / 2 * ratio
    voxels = _interpolated(volume, shape, ratio, first, progress)
    nearest = np.clip(np.rint(first[0] + np.arange(shape[0]) * ratio[0]), 0, len(volume.frames) - 1).astype(int)
    x, y, z = volume.to_patient_mm(first[None, :])[0]
    return replace(
        volume,
        voxels=voxels,
        spacing_mm=spacing_mm,
        origin_mm=(float(x), float(y), float(z)),
        frames=tuple(volume.frames[index] for index in nearest),
        sources=tuple(volume.sources[index] for index in nearest) if volume.sources else (),
    )


def _interpolated(
    volume: Volume,
    shape: tuple[int, ...],
    ratio: NDArray[np.float64],
    first: NDArray[np.float64],
    progress: Progress | None,
) -> NDArray[np.float32] | NDArray[np.int16]:
    voxels, padding = volume.voxels, padding_value(volume)
    result = np.empty(shape, dtype=voxels.dtype)
    whole = voxels.dtype.kind == "i"
    step = max(1, _SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        low = first[0] + start * ratio[0]
        high = first[0] + (stop - 1) * ratio[0]
        # The old slices that this slab lies between; clipped, so that the ends hold beyond the outermost centres.
        lowest = int(np.clip(math.floor(low), 0, voxels.shape[0] - 1))
        highest = int(np.clip(math.ceil(high), 0, voxels.shape[0] - 1))
        old = voxels[lowest : highest + 1]
        on_new_grid = partial(
            ndimage.affine_transform,
            matrix=ratio,
            offset=(low - lowest, first[1], first[2]),
            output_shape=(stop - start, *shape[1:]),
            order=1,
            mode="nearest",
            prefilter=False,
        )
        slab = on_new_grid(old, output=np.float64 if whole else np.float32)
        result[start:stop] = np.rint(slab) if whole else slab
        padded = is_padding(old, padding)
        if padded is not None:
            shares = on_new_grid(padded.view(np.uint8), output=np.float32)
            result[start:stop][shares > _LEAST_SHARE] = padding
        if progress is not None:
            progress(stop, shape[0])
    return result
