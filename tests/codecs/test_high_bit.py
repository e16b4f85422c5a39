"""Values that do not begin at bit 0: the Standard once let High Bit be anything from Bits Stored - 1 on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.codecs.decode import decode_frame
from imaging.codecs.encode import encode_frame
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    HTJ2K_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)

_PIXELS = PixelDescription(
    rows=8,
    columns=8,
    samples_per_pixel=1,
    photometric_interpretation="MONOCHROME2",
    bits_allocated=16,
    bits_stored=12,
    high_bit=15,
    pixel_representation=0,
    planar_configuration=None,
    number_of_frames=1,
    is_float=False,
)
_UNSIGNED = np.tile(np.array([[0, 1], [2620, 4095]], dtype=np.uint16), (4, 4))
_SIGNED = np.tile(np.array([[0, -1], [-2048, 2047]], dtype=np.int16), (4, 4))
_WHOLE_CELLS = (EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS)


@pytest.mark.parametrize("syntax", _WHOLE_CELLS)
@pytest.mark.parametrize("high_bit", [15, 13, 11])
@pytest.mark.parametrize("values", [_UNSIGNED, _SIGNED])
def test_values_are_read_from_the_bits_that_hold_them(syntax: str, high_bit: int, values: NDArray[Any]) -> None:
    signed = int(values.dtype.kind == "i")
    shift = high_bit - 11
    # Other bits of the cell may hold anything, such as an overlay.
    cells = ((values.astype(np.uint16) & 0xFFF) << shift) | ((1 << shift) - 1)
    whole = replace(_PIXELS, bits_stored=16)
    content = encode_frame(cells.astype(np.uint16), syntax, whole)
    described = replace(_PIXELS, high_bit=high_bit, pixel_representation=signed)
    decoded = decode_frame(content, syntax, described)
    assert decoded.dtype == values.dtype
    np.testing.assert_array_equal(decoded, values)


@pytest.mark.parametrize("syntax", [JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS])
def test_codestreams_may_hold_the_values_alone(syntax: str) -> None:
    values = np.tile(_UNSIGNED, (8, 8))
    described = replace(_PIXELS, rows=64, columns=64)
    content = encode_frame(values, syntax, replace(described, high_bit=11))
    np.testing.assert_array_equal(decode_frame(content, syntax, described), values)
