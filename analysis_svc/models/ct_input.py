"""What the models for CT ask of their input, and what they tell about it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis_svc.anatomy.body_mask import SKIN_HU
from analysis_svc.measurement import QualityFlag
from imaging.errors import MeasurementRefused
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume

HOUNSFIELD_UNIT: Final = "[hnsf'U]"

RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE", "For research; the method was checked on phantoms and not validated clinically."
)


_AIR_HU: Final = -1000

_VOXEL_MM: Final = (0.05, 20.0)
"""Of CT of people: dental images have the least, spot checks with few slices the most."""


def require_ct_of_people(volume: Volume, subject: str) -> None:
    """Pass if the voxels are Hounsfield units and have a size that CT of people has.

    Raises
    ------
    MeasurementRefused
        Rule `NOT_HOUNSFIELD` or `VOXEL_SIZE`.
    """
    if volume.units != HOUNSFIELD_UNIT:
        raise MeasurementRefused(
            f"The values of the series have the unit {volume.units!r}, not Hounsfield units",
            where=subject,
            hint="Take the original CT series, with Rescale Slope and Intercept and Rescale Type HU.",
            metadata={"rule": "NOT_HOUNSFIELD"},
        )
    if not _VOXEL_MM[0] <= min(volume.spacing_mm) <= max(volume.spacing_mm) <= _VOXEL_MM[1]:
        size = " x ".join(f"{step:.4g}" for step in volume.spacing_mm)
        raise MeasurementRefused(
            f"The voxels are {size} mm large; CT of people has {_VOXEL_MM[0]:g} to {_VOXEL_MM[1]:g} mm",
            where=subject,
            hint="Correct Pixel Spacing (0028,0030) and Image Position (0020,0032) at the sender.",
            metadata={"rule": "VOXEL_SIZE"},
        )


def hounsfield_values(volume: Volume) -> NDArray[np.float32] | NDArray[np.int16]:
    """The voxels, where padding is air: some senders write it as a value that would be bone."""
    padding = padding_value(volume)
    if padding is None or padding <= SKIN_HU:
        return volume.voxels
    padded = is_padding(volume.voxels, padding)
    return volume.voxels if padded is None else np.where(padded, volume.voxels.dtype.type(_AIR_HU), volume.voxels)


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
