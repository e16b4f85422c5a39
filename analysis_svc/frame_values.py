"""From stored pixels to values: Modality LUT, padding, and colour as luminance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from analysis_svc.model import ImageFrame
from imaging.dicom.header_value import text
from imaging.render.functional_groups import functional_group
from imaging.render.modality_lut import ModalityLut, read_value_lut
from imaging.render.palette import apply_palette
from imaging.render.presentation import padding_mask
from imaging.volume.rescale import is_rescaled
from imaging.volume.value_units import value_units
from imaging.volume.volume import SourceFrame

_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601."""

_ATTRIBUTES: Final = (
    "BodyPartExamined",
    "ContrastBolusAgent",
    "ConvolutionKernel",
    "DeviationIndex",
    "ExposureIndex",
    "ImageType",
    "KVP",
    "LossyImageCompression",
    "Manufacturer",
    "ManufacturerModelName",
    "TargetExposureIndex",
)


def image_frame(stored: NDArray[Any], header: Dataset, frame_number: int) -> ImageFrame:
    """A decoded frame as values that mean something.

    Values are int16 where slope and intercept leave them whole and they fit, else float32.

    Parameters
    ----------
    stored
        Shape (rows, columns), or (rows, columns, samples) for colour.
    header
        Of its instance.
    frame_number
        Counts from 1.

    Raises
    ------
    PixelDataInvalid
        If the palette of a colour image cannot be used.
    """
    source = SourceFrame(text(header, "SOPInstanceUID"), text(header, "SOPClassUID"), frame_number)
    if stored.ndim == 2 and text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        stored = apply_palette(stored, header)
    if stored.ndim == 3:
        return ImageFrame(stored[..., :3].astype(np.float32) @ _LUMA, source, attributes=series_attributes(header))
    padding = padding_mask(stored, header)
    lut = read_value_lut(header, frame_number)
    valid = None if padding is None or not padding.any() else ~padding
    return ImageFrame(_values(stored, lut), source, valid, lut.warnings, series_attributes(header))


def series_units(header: Dataset) -> str:
    """UCUM unit of the values; `1` where the series does not tell."""
    scale = functional_group(header, 1, "PixelValueTransformationSequence")
    rescale_type = text(scale, "RescaleType").upper()
    return value_units(
        text(header, "Modality"),
        rescale_type,
        text(header, "Units"),
        text(header, "DoseUnits"),
        is_rescaled=is_rescaled(scale),
    )


def series_attributes(header: Dataset) -> Mapping[str, str]:
    """Facts that models decide by, by DICOM keyword; empty ones are left out."""
    return {keyword: value for keyword in _ATTRIBUTES if (value := text(header, keyword))}


def _values(stored: NDArray[Any], lut: ModalityLut) -> NDArray[np.float32] | NDArray[np.int16]:
    if stored.dtype.kind in "iub" and lut.table is None and lut.slope == 1.0 and lut.intercept.is_integer():
        intercept = int(lut.intercept)
        if int(stored.min()) + intercept >= -32768 and int(stored.max()) + intercept <= 32767:
            return (stored.astype(np.int32) + intercept).astype(np.int16)
    return lut.apply(stored).astype(np.float32)
