"""One decoded frame to what a screen shows, by the grey-scale pipeline of PS3.4 N.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.dicom.header_value import first_number, text
from imaging.render.default_window import default_window, full_range_window
from imaging.render.modality_lut import ModalityLut, read_modality_lut
from imaging.render.palette import apply_palette
from imaging.render.presentation import is_inverted, padding_mask, rgb_to_bytes, to_bytes
from imaging.render.voi_lut import TableVoi, Voi, Window, read_voi

_LARGEST_TABLE = 1 << 16


@dataclass(frozen=True, slots=True)
class Rendering:
    """A frame as a screen shows it, and how it came about."""

    pixels: NDArray[np.uint8]
    """Shape (rows, columns), or (rows, columns, 3) as RGB."""
    voi: Window | TableVoi | None
    """What was applied to modality values; None for colour."""
    warnings: tuple[str, ...] = ()
    """What was wrong in the header and what was taken instead; no patient data."""


def render_frame(
    stored: NDArray[Any],
    header: Dataset,
    *,
    window: Window | tuple[float, float] | None = None,
    frame_number: int = 1,
) -> NDArray[np.uint8]:
    """The pixels of `render`: shape (rows, columns), or (rows, columns, 3) as RGB."""
    return render(stored, header, window=window, frame_number=frame_number).pixels


def render(
    stored: NDArray[Any],
    header: Dataset,
    *,
    window: Window | tuple[float, float] | None = None,
    frame_number: int = 1,
) -> Rendering:
    """A frame as a screen shows it: Modality LUT, VOI, polarity; palette and RGB as colours; padding black.

    Parameters
    ----------
    stored
        Stored values as `imaging.codecs.decode.decode_frame` gives them: (rows, columns) or (rows, columns, 3) in RGB.
    header
        The data set without its pixels; functional groups of enhanced images are respected.
    window
        In place of what the header says; of a pair, center and width in modality values (HU, say), LINEAR.
    frame_number
        Counts from 1.

    Raises
    ------
    PixelDataInvalid
        If a palette contradicts its descriptor, or the samples are no image.
    InvalidArgument
        If `window` is not usable.
    """
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR" and stored.ndim == 2:
        return Rendering(apply_palette(stored, header), None)
    if stored.ndim == 3:
        return Rendering(rgb_to_bytes(stored, int(first_number(header, "BitsStored") or 8)), None)

    modality_lut = read_modality_lut(header, frame_number)
    padding = _outside(stored, header)
    inside = stored if padding is None else stored[~padding]
    voi, warnings = _choose_voi(inside, header, modality_lut, window, frame_number)
    pixels = _through(stored, modality_lut, voi, inverted=is_inverted(header))
    if padding is not None:
        pixels[padding] = 0
    return Rendering(pixels, voi, (*modality_lut.warnings, *warnings))


def _choose_voi(
    inside: NDArray[Any],
    header: Dataset,
    modality_lut: ModalityLut,
    window: Window | tuple[float, float] | None,
    frame_number: int,
) -> tuple[Window | TableVoi, tuple[str, ...]]:
    if window is not None:
        return window if isinstance(window, Window) else Window.checked(*window), ()
    choice = read_voi(header, frame_number, signed_values=_may_be_negative(header, modality_lut))
    if choice.alternatives:
        return choice.alternatives[0], choice.warnings
    values = modality_lut.apply(inside)
    if choice.warnings:
        return full_range_window(values), (*choice.warnings, "All values from the smallest to the largest are shown")
    stored_bits = 0 if inside.dtype.kind == "f" else int(first_number(header, "BitsStored") or 0)
    return default_window(header, modality_lut, values, stored_bits), ()


def _may_be_negative(header: Dataset, modality_lut: ModalityLut) -> bool:
    if modality_lut.table is not None:
        return False
    return first_number(header, "PixelRepresentation") == 1 or modality_lut.intercept < 0


def _outside(stored: NDArray[Any], header: Dataset) -> NDArray[np.bool_] | None:
    """Pixels that are no image: padding, and in floating point what is not a number."""
    if stored.dtype.kind == "f":
        broken = ~np.isfinite(stored)
        return broken if broken.any() else None
    return padding_mask(stored, header)


def _through(stored: NDArray[Any], modality_lut: ModalityLut, voi: Voi, *, inverted: bool) -> NDArray[np.uint8]:
    """Every stored value through the whole pipeline, by a table of all values where that is less work."""
    if stored.dtype.kind in "iu" and stored.size:
        lowest, highest = int(stored.min()), int(stored.max())
        if highest - lowest < min(_LARGEST_TABLE, stored.size):
            each = np.arange(lowest, highest + 1, dtype=np.int64)
            table = to_bytes(voi.apply(modality_lut.apply(each)), inverted=inverted)
            return table[stored.astype(np.int64) - lowest]
    if stored.dtype.kind == "f":
        stored = np.nan_to_num(stored, posinf=0.0, neginf=0.0)
    return to_bytes(voi.apply(modality_lut.apply(stored)), inverted=inverted)
