"""Stored values to modality values: rescale or Modality LUT (PS3.3 C.11.1; per frame C.7.6.16.2.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import first_item, first_number, has_value, numbers
from imaging.errors import PixelDataInvalid
from imaging.render.functional_groups import functional_group
from imaging.render.lookup_table import LookupTable, is_little_endian, read_lookup_table


@dataclass(frozen=True, slots=True)
class ModalityLut:
    """What makes modality values (HU, say) out of stored values."""

    slope: float = 1.0
    intercept: float = 0.0
    table: LookupTable | None = None
    """Instead of slope and intercept."""
    warnings: tuple[str, ...] = ()
    """What was wrong in the header and what was taken instead."""

    @property
    def is_identity(self) -> bool:
        """Whether modality values are the stored values."""
        return self.table is None and self.slope == 1.0 and self.intercept == 0.0

    def apply(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Modality values in float64; same shape."""
        if self.table is not None:
            return self.table.apply(stored).astype(np.float64)
        values = stored.astype(np.float64)
        values *= self.slope
        values += self.intercept
        return values


def read_modality_lut(header: Dataset, frame_number: int = 1) -> ModalityLut:
    """The transformation of one frame; an unusable one is replaced by the identity, with a warning.

    Parameters
    ----------
    frame_number
        Counts from 1.
    """
    entry = first_item(header, "ModalityLUTSequence")
    if entry is not None:
        try:
            table = read_lookup_table(
                entry,
                signed_input=first_number(header, "PixelRepresentation") == 1,
                little_endian=is_little_endian(header),
            )
        except PixelDataInvalid as error:
            return ModalityLut(warnings=(f"Modality LUT ignored: {error.what}",))
        return ModalityLut(table=table)

    item = functional_group(header, frame_number, "PixelValueTransformationSequence")
    warnings = []
    slope, intercept = 1.0, 0.0
    if (values := numbers(item, "RescaleSlope")) is not None and values[0] != 0.0:
        slope = values[0]
    elif has_value(item, "RescaleSlope"):
        warnings.append("Rescale Slope (0028,1053) is zero or not a finite number: 1 taken")
    if (values := numbers(item, "RescaleIntercept")) is not None:
        intercept = values[0]
    elif has_value(item, "RescaleIntercept"):
        warnings.append("Rescale Intercept (0028,1052) is not a finite number: 0 taken")
    return ModalityLut(slope, intercept, warnings=tuple(warnings))


def read_value_lut(header: Dataset, frame_number: int = 1) -> ModalityLut:
    """What makes the quantity that was measured out of stored values: the Modality LUT, of a dose grid its scaling.

    Dose Grid Scaling (3004,000E) stands instead of slope and intercept (PS3.3 C.8.8.3).
    """
    scaling = first_number(header, "DoseGridScaling")
    return ModalityLut(slope=scaling) if scaling else read_modality_lut(header, frame_number)
