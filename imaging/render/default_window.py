"""The window for images whose header has none that can be used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import first_number, text
from imaging.render.modality_lut import ModalityLut
from imaging.render.voi_lut import Window, window_over

CT_SOFT_TISSUE = Window(40.0, 400.0, explanation="SOFT TISSUE")
"""In HU; the usual one for the trunk."""

_LOW_PERCENTILE, _HIGH_PERCENTILE = 0.5, 99.5
_MOST_SAMPLES = 1 << 20


def default_window(header: Dataset, modality_lut: ModalityLut, values: NDArray[Any], stored_bits: int) -> Window:
    """Soft tissue for CT, all of an 8-bit image, else what lies between the 0.5th and the 99.5th percentile.

    Parameters
    ----------
    values
        Modality values without padding, any shape; may be empty.
    stored_bits
        Bits Stored; 0 where that means nothing (floating point).
    """
    if values.size == 0:
        return window_over(0.0, 1.0)
    if text(header, "Modality") == "CT" and (text(header, "RescaleType") or "HU") == "HU" and not modality_lut.table:
        return CT_SOFT_TISSUE
    if 0 < stored_bits <= 8 and modality_lut.is_identity and first_number(header, "PixelRepresentation") != 1:
        return window_over(0.0, float((1 << stored_bits) - 1), "ALL VALUES")
    # A part of a large frame tells the percentiles well enough.
    sample = values.ravel()[:: 1 + values.size // _MOST_SAMPLES]
    low, high = (float(value) for value in np.percentile(sample, (_LOW_PERCENTILE, _HIGH_PERCENTILE)))
    if low == high:
        low, high = float(values.min()), float(values.max())
    return window_over(low, high, "PERCENTILES")


def full_range_window(values: NDArray[Any]) -> Window:
    """From the smallest to the largest value: what is shown instead of a window that cannot be used."""
    return window_over(float(values.min()), float(values.max()), "ALL VALUES") if values.size else window_over(0.0, 1.0)
