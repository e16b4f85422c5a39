"""Stored values to values with a meaning: the Modality LUT of a single frame."""

from __future__ import annotations

from typing import Any

import pydicom
from numpy.typing import NDArray

from imaging.errors import PixelDataInvalid
from imaging.render.modality_lut import read_value_lut


def modality_values(stored: NDArray[Any], header: pydicom.Dataset, frame_number: int) -> NDArray[Any]:
    """The values after the Modality LUT (PS3.3 C.11.1) or Dose Grid Scaling, float64; unchanged where there is none.

    Parameters
    ----------
    frame_number
        Counts from 1; chooses the Pixel Value Transformation of an enhanced multi-frame image (PS3.3 C.7.6.16.2.9).

    Raises
    ------
    PixelDataInvalid
        If the header has a transformation that cannot be used: what the stored values mean is unknown then.
    """
    lut = read_value_lut(header, frame_number)
    if lut.warnings:
        raise PixelDataInvalid(
            f"What the stored values mean is unknown: {lut.warnings[0]}",
            where=f"instance {header.get('SOPInstanceUID', 'without UID')} frame {frame_number}",
            hint="Read stored values (rescale=False), or correct the sender.",
        )
    return stored if lut.is_identity else lut.apply(stored)
