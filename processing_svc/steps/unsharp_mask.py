"""Sharper edges."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field
from pydicom.sr.codedict import codes
from skimage.filters import unsharp_mask

from imaging.derived.derivation import Derivation
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters

_INT16 = np.iinfo(np.int16)


class UnsharpMaskParameters(StepParameters):
    """How wide and how strong."""

    radius_mm: float = Field(
        default=1.0, ge=0.05, le=50.0, description="Standard deviation of the Gaussian in millimetres, in the slice."
    )
    amount: float = Field(
        default=1.0, gt=0, le=20.0, description="How often the difference to the blurred slice is added."
    )


class UnsharpMask(Step[UnsharpMaskParameters]):
    """value + amount x (value - Gaussian of it), in each slice (linear unsharp masking)."""

    name: ClassVar[str] = "unsharp-mask"
    version: ClassVar[str] = "1.0"
    description: ClassVar[str] = "Sharpen each slice by adding its difference to a blurred one."
    within_slices: ClassVar[bool] = True
    Parameters = UnsharpMaskParameters

    def apply(self, volume: Volume, parameters: UnsharpMaskParameters, progress: Progress) -> Volume:
        """The sharpened volume, same grid and dtype (whole numbers rounded, within 16 bits)."""
        count = volume.voxels.shape[0]
        radius = [parameters.radius_mm / spacing for spacing in volume.spacing_mm[1:]]
        result = np.empty_like(volume.voxels)
        for index in range(count):
            plane = unsharp_mask(  # type: ignore[no-untyped-call]
                volume.voxels[index].astype(np.float64), radius=radius, amount=parameters.amount, preserve_range=True
            )
            result[index] = np.rint(plane).clip(_INT16.min, _INT16.max) if result.dtype.kind == "i" else plane
            progress(index + 1, count)
        return replace(volume, voxels=result)

    def derivation(self, parameters: UnsharpMaskParameters) -> Derivation:
        """Unsharp mask of CID 7203."""
        return Derivation(
            description=f"Sharpened by an unsharp mask of {parameters.radius_mm:g} mm, {parameters.amount:g} x",
            codes=(codes.DCM.UnsharpMask,),
            series_suffix=f"unsharp {parameters.radius_mm:g} mm",
            image_type="SHARPENED",
        )
