"""From stored pixels to values: Modality LUT, padding, and colour as luminance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut

from analysis_svc.model import ImageFrame
from imaging.errors import PixelDataInvalid
from imaging.volume.header_values import first_item, items, optional_number, text
from imaging.volume.value_units import value_units
from imaging.volume.volume import SourceFrame

_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601."""

_ATTRIBUTES: Final = (
    "BodyPartExamined",
    "ContrastBolusAgent",
    "ConvolutionKernel",
    "ImageType",
    "KVP",
    "LossyImageCompression",
    "Manufacturer",
    "ManufacturerModelName",
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
        If a lookup table of the header cannot be applied.
    """
    source = SourceFrame(text(header, "SOPInstanceUID"), text(header, "SOPClassUID"), frame_number)
    if stored.ndim == 2 and text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        stored = _looked_up(apply_color_lut, stored, header, "Palette Color LUT", "(0028,1201)")
    if stored.ndim == 3:
        return ImageFrame(stored[..., :3].astype(np.float32) @ _LUMA, source)
    return ImageFrame(_modality_values(stored, header, frame_number), source, _not_padding(stored, header))


def series_units(header: Dataset) -> str:
    """UCUM unit of the values; `1` where the series does not tell."""
    scale = _scale(header, 1)
    rescale_type = text(scale, "RescaleType").upper()
    return value_units(text(header, "Modality"), rescale_type, text(header, "Units"), text(header, "DoseUnits"))


def series_attributes(header: Dataset) -> Mapping[str, str]:
    """Facts that models decide by, by DICOM keyword; empty ones are left out."""
    return {keyword: value for keyword in _ATTRIBUTES if (value := text(header, keyword))}


def _scale(header: Dataset, frame_number: int) -> Dataset:
    """The level of the header that holds slope and intercept of a frame (PS3.3 C.7.6.16.2.9)."""
    per_frame = items(header, "PerFrameFunctionalGroupsSequence")
    own = per_frame[frame_number - 1] if 0 < frame_number <= len(per_frame) else None
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    found = first_item(own, "PixelValueTransformationSequence") or first_item(
        shared, "PixelValueTransformationSequence"
    )
    return header if found is None else found


def _modality_values(
    stored: NDArray[Any], header: Dataset, frame_number: int
) -> NDArray[np.float32] | NDArray[np.int16]:
    if items(header, "ModalityLUTSequence"):
        table = _looked_up(apply_modality_lut, stored, header, "Modality LUT", "(0028,3000)")
        return np.asarray(table, dtype=np.float32)
    scale = _scale(header, frame_number)
    # A slope of zero or an unreadable one would make all pixels equal: it counts as absent.
    slope = optional_number(header, "DoseGridScaling") or optional_number(scale, "RescaleSlope") or 1.0
    intercept = optional_number(scale, "RescaleIntercept") or 0.0
    if stored.dtype.kind in "iub" and slope == 1.0 and intercept.is_integer():
        low, high = int(stored.min()) + int(intercept), int(stored.max()) + int(intercept)
        if low >= -32768 and high <= 32767:
            return (stored.astype(np.int32) + int(intercept)).astype(np.int16)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _looked_up(
    apply: Callable[[NDArray[Any], Dataset], NDArray[Any]],
    stored: NDArray[Any],
    header: Dataset,
    table: str,
    tag: str,
) -> NDArray[Any]:
    try:
        return apply(stored, header)
    except (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise PixelDataInvalid(
            f"The {table} cannot be applied: {type(error).__name__}",
            where=f"instance {text(header, 'SOPInstanceUID')}, {tag}",
            hint="Correct the sender (PS3.3 C.11.1, C.7.6.3.1.5).",
        ) from error


def _not_padding(stored: NDArray[Any], header: Dataset) -> NDArray[np.bool_] | None:
    """False where a pixel is padding (PS3.3 C.7.5.1.1.2); None without padding."""
    padding = optional_number(header, "PixelPaddingValue")
    if padding is None:
        return None
    limit = optional_number(header, "PixelPaddingRangeLimit")
    low, high = sorted((padding, padding if limit is None else limit))
    valid: NDArray[np.bool_] = (stored < low) | (stored > high)
    return None if valid.all() else valid
