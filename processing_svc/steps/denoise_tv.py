"""Less noise by the image of least total variation that is near enough."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.codedict import codes

from imaging.derived.derivation import Derivation
from imaging.volume.volume import Volume
from processing_svc.steps.each_slice import each_slice
from processing_svc.steps.noise_level import noise_level
from processing_svc.steps.step import Progress, Step, StepParameters


class DenoiseTotalVariationParameters(StepParameters):
    """How much is taken away."""

    noise_sigma: float | None = Field(
        default=None,
        gt=0,
        description="Standard deviation of the noise in the unit of the voxels (HU for CT); estimated if not given.",
    )
    strength: float = Field(default=1.0, gt=0, le=10.0, description="Weight of the variation, in standard deviations.")
    tolerance: float = Field(
        default=2e-4, gt=0, le=0.1, description="Relative change of the energy in an iteration at which to stop."
    )
    max_iterations: int = Field(default=200, ge=1, le=2000, description="When to stop, converged or not.")


class DenoiseTotalVariation(Step[DenoiseTotalVariationParameters]):
    """Total variation in each slice (Rudin, Osher, Fatemi 1992, doi:10.1016/0167-2789(92)90242-F), by the projection of
    Chambolle 2004 (doi:10.1023/B:JMIV.0000011325.36760.1e)."""

    name: ClassVar[str] = "denoise-tv"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Smooth within each slice by total variation, which keeps edges."
    within_slices: ClassVar[bool] = True
    Parameters = DenoiseTotalVariationParameters

    def apply(self, volume: Volume, parameters: DenoiseTotalVariationParameters, progress: Progress) -> Volume:
        """The filtered volume, see `each_slice`; unchanged where there is no noise."""
        from skimage.restoration import denoise_tv_chambolle  # it brings scipy.stats, a third of the service's start

        sigma = noise_level(volume.voxels) if parameters.noise_sigma is None else parameters.noise_sigma

        def smoothed(plane: NDArray[np.float64]) -> NDArray[Any]:
            if sigma == 0:
                return plane
            made: NDArray[Any] = denoise_tv_chambolle(  # type: ignore[no-untyped-call]
                plane,
                weight=parameters.strength * sigma,
                eps=parameters.tolerance,
                max_num_iter=parameters.max_iterations,
            )
            return made

        return each_slice(volume, smoothed, progress)

    def derivation(self, parameters: DenoiseTotalVariationParameters) -> Derivation:
        """113087 Smoothing."""
        return Derivation(
            description="Noise reduced by total variation within each slice",
            codes=(codes.DCM.Smoothing,),
            series_suffix="denoised (TV)",
            image_type="FILTERED",
        )
