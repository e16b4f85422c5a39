"""Less noise by the median of neighbouring voxels."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field
from pydicom.sr.codedict import codes
from scipy import ndimage

from imaging.derived.derivation import Derivation
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters

_SLAB: Final = 8
"""Slices computed between two reports of progress."""


class DenoiseMedianParameters(StepParameters):
    """How far the neighbourhood reaches."""

    size_voxels: Literal[3, 5, 7] = Field(default=3, description="Edge of the cubic neighbourhood in voxels.")


class DenoiseMedian(Step[DenoiseMedianParameters]):
    """A cubic median filter: edges stay sharp, structures smaller than half the cube vanish."""

    name: ClassVar[str] = "denoise-median"
    version: ClassVar[str] = "1.0"
    description: ClassVar[str] = "Replace each voxel by the median of the cube around it."
    Parameters = DenoiseMedianParameters

    def apply(self, volume: Volume, parameters: DenoiseMedianParameters, progress: Progress) -> Volume:
        """The filtered volume, same grid and dtype; at the borders the outermost voxels are repeated."""
        count, reach = volume.voxels.shape[0], parameters.size_voxels // 2
        result = np.empty_like(volume.voxels)
        for start in range(0, count, _SLAB):
            stop = min(start + _SLAB, count)
            # Neighbouring slices are computed with and dropped, so that slabs meet without a seam.
            low, high = max(0, start - reach), min(count, stop + reach)
            slab = ndimage.median_filter(volume.voxels[low:high], size=parameters.size_voxels, mode="nearest")
            result[start:stop] = slab[start - low : stop - low]
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
