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
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS

_PIXELS = PixelDescription(
    rows=2,
    columns=2,
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
_UNSIGNED = np.array([[0, 1], [2620, 4095]], dtype=np.uint16)
_SIGNED = np.array([[0, -1], [-2048, 2047]], dtype=np.int16)


@pytest.mark.parametrize("syntax", [EXPLICIT_VR_LITTLE_ENDIAN, RLE_LOSSLESS])
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
