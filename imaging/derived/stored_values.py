"""Voxels as 16-bit stored values with slope and intercept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from imaging.errors import InvalidArgument

_LEVELS = 65534
"""One less than there are, so that rounding of the intercept cannot push an end over the edge."""


@dataclass(frozen=True, slots=True)
class StoredScale:
    """value = stored * slope + intercept (PS3.3 C.11.1.1.2), stored as signed 16-bit integers."""

    slope: float
    intercept: float

    @property
    def is_identity(self) -> bool:
        """True if stored values are the values."""
        return self.slope == 1 and self.intercept == 0

    @property
    def slope_text(self) -> str:
        """As a decimal string; reading it back gives exactly the slope."""
        return ds_text(self.slope)

    @property
    def intercept_text(self) -> str:
        """As a decimal string; reading it back gives exactly the intercept."""
        return ds_text(self.intercept)

    def stored(self, values: NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.int16]:
        """The stored values, little endian; each is at most half a step off."""
        if self.is_identity and values.dtype == np.int16:
            return values.astype("<i2")
        steps = np.rint((values.astype(np.float64) - self.intercept) / self.slope)
        return np.clip(steps, -32768, 32767).astype("<i2")


def stored_scale(voxels: NDArray[np.float32] | NDArray[np.int16]) -> StoredScale:
    """The scale that holds all voxels with the smallest error: none for whole numbers, else half a step.

    Whole numbers within 16 bits are stored as they are or shifted; other values are spread over all 65,535 levels.

    Raises
    ------
    InvalidArgument
        If a voxel is not a finite number.
    """
    if voxels.dtype == np.int16 or voxels.size == 0:
        return StoredScale(1.0, 0.0)
    low, high = float(voxels.min()), float(voxels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InvalidArgument(
            "The volume has voxels that are not finite numbers",
            where="voxels",
            hint="Correct the step that made them.",
        )
    if high - low <= 65535 and all(np.array_equal(plane, np.rint(plane)) for plane in voxels):
        if low >= -32768 and high <= 32767:
            return StoredScale(1.0, 0.0)
        return StoredScale(1.0, float(low + 32768))
    # Rounded as they will stand in the header, so that what is read back is what was computed with.
    slope = float(ds_text((high - low) / _LEVELS))
    if slope == 0:
        return StoredScale(1.0, float(ds_text(low)))
    return StoredScale(slope, float(ds_text((high + low) / 2)))


def ds_text(value: float) -> str:
    """A number as a decimal string of at most 16 characters, as exact as that allows (PS3.5 6.2, DS)."""
    if value == round(value) and abs(value) < 1e15:
        return str(round(value))
    return str(format_number_as_ds(float(value)))
