"""Cubic voxels out of any others."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from pydicom.sr.codedict import codes

from imaging.derived.derivation import Derivation
from imaging.volume.resample import resample
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters


class ResampleIsotropicParameters(StepParameters):
    """How fine the grid is to be."""

    spacing_mm: float = Field(default=1.0, ge=0.1, le=20.0, description="Edge of the cubic voxels in millimetres.")


class ResampleIsotropic(Step[ResampleIsotropicParameters]):
    """See `imaging.volume.resample`: linear interpolation, geometry exact, nominal slice thickness kept."""

    name: ClassVar[str] = "resample-isotropic"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Resample to cubic voxels by linear interpolation."
    Parameters = ResampleIsotropicParameters

    def apply(self, volume: Volume, parameters: ResampleIsotropicParameters, progress: Progress) -> Volume:
        """The volume on a grid of cubes."""
        spacing = parameters.spacing_mm
        return resample(volume, (spacing, spacing, spacing), progress)

    def derivation(self, parameters: ResampleIsotropicParameters) -> Derivation:
        """113085 Spatial resampling."""
        return Derivation(
            description=f"Resampled to cubic voxels of {parameters.spacing_mm:g} mm by linear interpolation",
            codes=(codes.DCM.SpatialResampling,),
            series_suffix=f"iso {parameters.spacing_mm:g} mm",
            image_type="RESAMPLED",
        )
