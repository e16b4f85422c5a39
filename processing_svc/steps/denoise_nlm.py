"""Less noise by averaging places that look alike."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.codedict import codes
from skimage.restoration import denoise_nl_means

from imaging.derived.derivation import Derivation
from imaging.volume.volume import Volume
from processing_svc.steps.each_slice import each_slice
from processing_svc.steps.noise_level import noise_level
from processing_svc.steps.step import Progress, Step, StepParameters


class DenoiseNonLocalMeansParameters(StepParameters):
    """How much noise there is, and how much of it to take away."""

    noise_sigma: float | None = Field(
        default=None,
        gt=0,
        description="Standard deviation of the noise in the unit of the voxels (HU for CT); estimated if not given.",
    )
    strength: float = Field(default=0.8, gt=0, le=3.0, description="Cut-off of the likeness, in standard deviations.")
    patch_size_voxels: Literal[3, 5, 7] = Field(default=5, description="Edge of the patches that are compared.")
    patch_distance_voxels: int = Field(default=6, ge=1, le=15, description="How far away alike patches are sought.")


class DenoiseNonLocalMeans(Step[DenoiseNonLocalMeansParameters]):
    """Non-local means in each slice (Buades 2005, doi:10.1109/CVPR.2005.38; fast form by Darbon 2008)."""

    name: ClassVar[str] = "denoise-nlm"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Average patches that look alike within each slice (non-local means)."
    within_slices: ClassVar[bool] = True
    Parameters = DenoiseNonLocalMeansParameters

    def apply(self, volume: Volume, parameters: DenoiseNonLocalMeansParameters, progress: Progress) -> Volume:
        """The filtered volume, see `each_slice`; unchanged where there is no noise."""
        sigma = noise_level(volume.voxels) if parameters.noise_sigma is None else parameters.noise_sigma

        def smoothed(plane: NDArray[np.float64]) -> NDArray[Any]:
            if sigma == 0:
                return plane
            made: NDArray[Any] = denoise_nl_means(
                plane,
                patch_size=parameters.patch_size_voxels,
                patch_distance=parameters.patch_distance_voxels,
                h=parameters.strength * sigma,
                sigma=sigma,
                fast_mode=True,
                preserve_range=True,
            )
            return made

        return each_slice(volume, smoothed, progress)

    def derivation(self, parameters: DenoiseNonLocalMeansParameters) -> Derivation:
        """113087 Smoothing."""
        return Derivation(
            description="Noise reduced by non-local means within each slice",
            codes=(codes.DCM.Smoothing,),
            series_suffix="denoised (NLM)",
            image_type="FILTERED",
        )
