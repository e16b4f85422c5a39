"""Less noise by the median of neighbouring voxels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.codedict import codes
from scipy import ndimage

from imaging.derived.derivation import Derivation
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters

_SLAB: Final = 8
"""Slices computed between two reports of progress."""

_AT_ONCE: Final = 1 << 12
"""Voxels beside padding whose cubes are gathered together: 50 MiB for the largest cubes."""


class DenoiseMedianParameters(StepParameters):
    """How far the neighbourhood reaches."""

    size_voxels: Literal[3, 5, 7] = Field(default=3, description="Edge of the cubic neighbourhood in voxels.")


class DenoiseMedian(Step[DenoiseMedianParameters]):
    """A cubic median filter: edges stay sharp, structures smaller than half the cube vanish."""

    name: ClassVar[str] = "denoise-median"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Replace each voxel by the median of the cube around it."
    Parameters = DenoiseMedianParameters

    def apply(self, volume: Volume, parameters: DenoiseMedianParameters, progress: Progress) -> Volume:
        """The filtered volume, same grid and dtype; at the borders the outermost voxels are repeated.

        Padding stays padding, and beside it the median is that of the other voxels of the cube.
        """
        count, reach = volume.voxels.shape[0], parameters.size_voxels // 2
        padding = padding_value(volume)
        result = np.empty_like(volume.voxels)
        for start in range(0, count, _SLAB):
            stop = min(start + _SLAB, count)
            # Neighbouring slices are computed with and dropped, so that slabs meet without a seam.
            low, high = max(0, start - reach), min(count, stop + reach)
            slab = volume.voxels[low:high]
            filtered = ndimage.median_filter(slab, size=parameters.size_voxels, mode="nearest")
            padded = is_padding(slab, padding)
            if padded is not None:
                _leave_out(padded, slab, filtered, parameters.size_voxels)
            result[start:stop] = filtered[start - low : stop - low]
            progress(stop, count)
        return replace(volume, voxels=result)

    def derivation(self, parameters: DenoiseMedianParameters) -> Derivation:
        """113087 Smoothing."""
        size = parameters.size_voxels
        return Derivation(
            description=f"Noise reduced by a median filter of {size} x {size} x {size} voxels",
            codes=(codes.DCM.Smoothing,),
            series_suffix=f"median {size}",
            image_type="FILTERED",
        )


def _leave_out(padded: NDArray[np.bool_], slab: NDArray[Any], filtered: NDArray[Any], size: int) -> None:
    """Set, in place, the filtered values of padding and of what has padding in its cube."""
    beside = ndimage.maximum_filter(padded.view(np.uint8), size=size, mode="nearest").view(np.bool_) & ~padded
    filtered[padded] = slab[padded]
    steps = np.indices((size, size, size)).reshape(3, -1) - size // 2
    ends = np.array(slab.shape)[:, None, None] - 1
    places = np.argwhere(beside)
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE].T
        around = tuple(np.clip(some[:, :, None] + steps[:, None, :], 0, ends))
        values = np.where(padded[around], np.nan, slab[around])
        medians = np.nanmedian(values, axis=1)
        filtered[tuple(some)] = np.rint(medians) if slab.dtype.kind == "i" else medians
