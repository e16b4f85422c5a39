"""Stored values to values with a meaning: the Modality LUT of a single frame."""

from __future__ import annotations

from typing import Any

import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut


def modality_values(stored: NDArray[Any], header: pydicom.Dataset, frame_number: int) -> NDArray[Any]:
    """The values after the Modality LUT (PS3.3 C.11.1), float64; unchanged where the header has none.

    Parameters
    ----------
    frame_number
        Counts from 1; chooses the Pixel Value Transformation of an enhanced multi-frame image (PS3.3 C.7.6.16.2.9).
    """
    if "SharedFunctionalGroupsSequence" in header:
        header = _functional_group(header, frame_number) or header
    values: NDArray[Any] = apply_modality_lut(stored, header)
    return values


def _functional_group(header: pydicom.Dataset, frame_number: int) -> pydicom.Dataset | None:
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[frame_number - 1 : frame_number], *shared]:
        items = group.get("PixelValueTransformationSequence")
        if items:
            return items[0]
    return None
