"""Sharper edges."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.codedict import codes
from skimage.filters import unsharp_mask

from imaging.derived.derivation import Derivation
from imaging.errors import VolumeRefused
from imaging.volume.volume import Volume
from processing_svc.steps.each_slice import each_slice
from processing_svc.steps.step import Progress, Step, StepParameters


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
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Sharpen each slice by adding its difference to a blurred one."
    within_slices: ClassVar[bool] = True
    Parameters = UnsharpMaskParameters

    def apply(self, volume: Volume, parameters: UnsharpMaskParameters, progress: Progress) -> Volume:
        """The sharpened volume, see `each_slice`.

        Raises
        ------
        VolumeRefused
            Rule `radius_beyond_slice`.
        """
        radius = [parameters.radius_mm / spacing for spacing in volume.spacing_mm[1:]]
        # Its time grows with the radius, and over half a slice nothing is left to compare with.
        if any(pixels > side / 2 for pixels, side in zip(radius, volume.voxels.shape[1:], strict=True)):
            raise VolumeRefused(
                f"A radius of {parameters.radius_mm:g} mm is more than half a slice",
                where="radius_mm",
                hint="Choose a smaller one, and look at the pixel spacing of the images.",
                metadata={"rule": "radius_beyond_slice"},
            )

        def sharpened(plane: NDArray[np.float64]) -> NDArray[Any]:
            made: NDArray[Any] = unsharp_mask(  # type: ignore[no-untyped-call]
                plane, radius=radius, amount=parameters.amount, preserve_range=True
            )
            return made

        return each_slice(volume, sharpened, progress)

    def derivation(self, parameters: UnsharpMaskParameters) -> Derivation:
        """Unsharp mask of CID 7203."""
        return Derivation(
            description=f"Sharpened by an unsharp mask of {parameters.radius_mm:g} mm, {parameters.amount:g} x",
            codes=(codes.DCM.UnsharpMask,),
            series_suffix=f"unsharp {parameters.radius_mm:g} mm",
            image_type="SHARPENED",
        )
