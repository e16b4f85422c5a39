"""Modality values to display values: window or VOI LUT (PS3.3 C.11.2; per frame C.7.6.16.2.10)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from math import isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import has_value, items, numbers, text, values
from imaging.errors import InvalidArgument, PixelDataInvalid
from imaging.render.functional_groups import functional_group
from imaging.render.lookup_table import LookupTable, is_little_endian, read_lookup_table

DISPLAY_MAXIMUM = 255.0
_LARGEST_EXPONENT = 700.0
"""exp() of more overflows float64; its result is 0 or 255 long before."""


class WindowFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class Voi(Protocol):
    """Values of interest: what of the modality values is shown."""

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Display values from 0 to 255; same shape."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """A window in modality values."""

    center: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR
    explanation: str = ""

    @classmethod
    def checked(cls, center: float, width: float, function: WindowFunction = WindowFunction.LINEAR) -> Window:
        """A window that a caller asked for.

        Raises
        ------
        InvalidArgument
            If it is not finite, or too narrow for its function.
        """
        window = cls(center, width, function)
        if not (isfinite(center) and isfinite(width) and window.is_valid):
            raise InvalidArgument(
                f"A {function} window of center {center:g} and width {width:g} cannot be applied",
                where="window",
                hint="Both must be finite; the width at least 1 for LINEAR, and more than 0 otherwise.",
            )
        return window

    @property
    def is_valid(self) -> bool:
        """LINEAR needs a width of 1 at least, the others more than 0 (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
        return self.width >= 1 if self.function is WindowFunction.LINEAR else self.width > 0

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Display values from 0 to 255; same shape."""
        shifted = values.astype(np.float64)
        if self.function is WindowFunction.SIGMOID:
            exponent = np.clip(-4.0 * (shifted - self.center) / self.width, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
            return DISPLAY_MAXIMUM / (1.0 + np.exp(exponent))
        center, width = self.center, self.width
        if self.function is WindowFunction.LINEAR:
            center, width = center - 0.5, width - 1.0
        if width == 0.0:  # LINEAR of width 1 is a threshold
            return np.where(shifted > center, DISPLAY_MAXIMUM, 0.0)
        shifted -= center
        shifted /= width
        shifted += 0.5
        shifted *= DISPLAY_MAXIMUM
        return np.clip(shifted, 0.0, DISPLAY_MAXIMUM)


@dataclass(frozen=True, slots=True)
class TableVoi:
    """A VOI LUT."""

    table: LookupTable
    explanation: str = ""

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Display values from 0 to 255; same shape."""
        return self.table.apply(values).astype(np.float64) * (DISPLAY_MAXIMUM / self.table.largest)


@dataclass(frozen=True, slots=True)
class VoiChoice:
    """All that the header offers, best first, and what was wrong with the rest."""

    alternatives: tuple[Window | TableVoi, ...]
    warnings: tuple[str, ...] = ()


def window_over(lowest: float, highest: float, explanation: str = "") -> Window:
    """The window that spreads those values over the whole display range."""
    width = highest - lowest
    return Window((lowest + highest) / 2.0, width if width > 0 else 1.0, WindowFunction.LINEAR_EXACT, explanation)


def read_voi(header: Dataset, frame_number: int = 1, *, signed_values: bool = False) -> VoiChoice:
    """VOI LUTs first, then windows, in the header's order; unusable ones are left out with a warning.

    Parameters
    ----------
    frame_number
        Counts from 1.
    signed_values
        Whether modality values may be negative, which decides how a LUT's first mapped value is read.
    """
    item = functional_group(header, frame_number, "FrameVOILUTSequence")
    alternatives: list[Window | TableVoi] = []
    warnings: list[str] = []
    for entry in items(item, "VOILUTSequence"):
        try:
            table = read_lookup_table(entry, signed_input=signed_values, little_endian=is_little_endian(header))
        except PixelDataInvalid as error:
            warnings.append(f"VOI LUT ignored: {error.what}")
        else:
            alternatives.append(TableVoi(table, text(entry, "LUTExplanation")))

    function = _function(item, warnings)
    centers, widths = numbers(item, "WindowCenter"), numbers(item, "WindowWidth")
    if centers is None or widths is None:
        if has_value(item, "WindowCenter") or has_value(item, "WindowWidth"):
            warnings.append("Window Center (0028,1050) or Width (0028,1051) is missing or not a finite number: ignored")
        return VoiChoice(tuple(alternatives), tuple(warnings))
    for center, width, explanation in zip_longest(centers, widths, _explanations(item)):
        if center is None or width is None:
            break
        window = Window(center, width, function, explanation or "")
        if window.is_valid:
            alternatives.append(window)
        else:
            warnings.append(f"Window Width (0028,1051) of {width:g} is too small for {function}: ignored")
    return VoiChoice(tuple(alternatives), tuple(warnings))


def _function(item: Dataset, warnings: list[str]) -> WindowFunction:
    name = text(item, "VOILUTFunction") or WindowFunction.LINEAR
    try:
        return WindowFunction(name)
    except ValueError:
        warnings.append("VOI LUT Function (0028,1056) is unknown: LINEAR taken")
        return WindowFunction.LINEAR


def _explanations(item: Dataset) -> list[str]:
    return [str(each) for each in values(item, "WindowCenterWidthExplanation")]
