"""What the models for CT ask of their input, and what they tell about it."""

from __future__ import annotations

from typing import Final

from analysis_svc.measurement import QualityFlag
from imaging.errors import MeasurementRefused
from imaging.volume.volume import Volume

HOUNSFIELD_UNIT: Final = "[hnsf'U]"

RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE", "For research; the method was checked on phantoms and not validated clinically."
)


def require_hounsfield(volume: Volume, subject: str) -> None:
    """Pass if the voxels are Hounsfield units.

    Raises
    ------
    MeasurementRefused
        Rule `NOT_HOUNSFIELD`.
    """
    if volume.units != HOUNSFIELD_UNIT:
        raise MeasurementRefused(
            f"The values of the series have the unit {volume.units!r}, not Hounsfield units",
            where=subject,
            hint="Take the original CT series with Rescale Type HU.",
            metadata={"rule": "NOT_HOUNSFIELD"},
        )


def slice_thickness_mm(volume: Volume) -> float:
    """The larger of nominal thickness (0018,0050) and distance of the slices: what one voxel averages over."""
    return max(volume.slice_thickness_mm or 0.0, volume.spacing_mm[0])


def contrast_flags(volume: Volume, effect: str) -> tuple[QualityFlag, ...]:
    """A flag if a contrast agent was given (0018,0010), with what it does to the measurement."""
    if not volume.attributes.get("ContrastBolusAgent"):
        return ()
    return (QualityFlag("CONTRAST_AGENT", f"A contrast agent was given (0018,0010): {effect}."),)


def derived_flags(volume: Volume) -> tuple[QualityFlag, ...]:
    """A flag if the series is not the scanner's own (0008,0008 value 1): resampling and filters change densities."""
    if volume.attributes.get("ImageType", "").split("\\")[0].upper() != "DERIVED":
        return ()
    return (QualityFlag("DERIVED_SERIES", "The series was resampled or filtered before; that changes its densities."),)
