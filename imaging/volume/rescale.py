"""Slope and intercept of a frame: from stored values to units (PS3.3 C.11.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_number, text
from imaging.volume.header_values import refused, tag_text


def is_rescaled(scale: Dataset) -> bool:
    """Whether slope and intercept are both there (PS3.3 C.11.1.1 asks for both or none) and the slope is not zero."""
    return bool(first_number(scale, "RescaleSlope")) and first_number(scale, "RescaleIntercept") is not None


def read_rescale(dataset: Dataset, scale: Dataset, where: str) -> tuple[float, float, str]:
    """Slope, intercept and type; 1 and 0 where the header has none.

    Raises
    ------
    VolumeRefused
        Rule `invalid_rescale`: the header has one that is no number, or a slope of zero.
    """
    dose = first_number(dataset, "DoseGridScaling")
    if dose:
        return dose, 0.0, "DOSE"
    slope, intercept = first_number(scale, "RescaleSlope"), first_number(scale, "RescaleIntercept")
    for keyword, number in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        if (number is None and text(scale, keyword)) or (keyword == "RescaleSlope" and number == 0):
            raise refused(
                "invalid_rescale",
                f"{keyword} is zero or no number: what the stored values mean is unknown",
                where=f"{where}, {tag_text(keyword)}",
                hint="Correct the sender.",
                attribute=keyword,
            )
    return 1.0 if slope is None else slope, intercept or 0.0, text(scale, "RescaleType").upper()
