"""Palettes: descriptor against data, ends, 8 and 16 bits, segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_color_lut

from imaging.errors import PixelDataInvalid
from imaging.render.display import render_frame
from imaging.render.palette import apply_palette

WHEEL = Path(pydicom.__file__).parent / "data" / "test_files"


def _header(descriptor: list[int], data: bytes | list[bytes], *, prefix: str = "") -> Dataset:
    header = Dataset()
    header.PhotometricInterpretation = "PALETTE COLOR"
    header.PixelRepresentation = 0
    parts = data if isinstance(data, list) else [data] * 3
    for channel, part in zip(("Red", "Green", "Blue"), parts, strict=True):
        setattr(header, f"{channel}PaletteColorLookupTableDescriptor", descriptor)
        header.add_new(f"{prefix}{channel}PaletteColorLookupTableData", "OW", part)
    return header


def _words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


def test_the_palette_image_of_the_wheel_equals_pydicoms() -> None:
    header = pydicom.dcmread(WHEEL.parent / "test_files" / "examples_palette.dcm")
    expected = apply_color_lut(header.pixel_array, header)
    np.testing.assert_array_equal(render_frame(header.pixel_array, header), (expected >> 8).astype(np.uint8))


def test_indices_outside_get_the_first_and_the_last_entry() -> None:
    red, green, blue = _words(0x1000, 0x2000), _words(0x3000, 0x4000), _words(0x5000, 0x6000)
    header = _header([2, 10, 16], [red, green, blue])
    rgb = apply_palette(np.array([[0, 10, 11, 255]], np.uint8), header)
    assert rgb.tolist() == [[[16, 48, 80], [16, 48, 80], [32, 64, 96], [32, 64, 96]]]


def test_8_bit_entries_are_read_packed_and_in_words() -> None:
    index = np.array([[0, 1, 2, 3]], np.uint8)
    packed = apply_palette(index, _header([4, 0, 8], bytes([1, 2, 3, 200])))
    in_words = apply_palette(index, _header([4, 0, 8], _words(1, 2, 3, 200)))
    assert packed[0, :, 0].tolist() == [1, 2, 3, 200]
    assert in_words.tolist() == packed.tolist()


def test_16_bit_tables_filled_with_8_bit_values_are_not_black() -> None:
    rgb = apply_palette(np.array([[0, 1]], np.uint8), _header([2, 0, 16], _words(7, 255)))
    assert rgb[0, :, 0].tolist() == [7, 255]


def test_a_descriptor_larger_than_the_data_is_refused() -> None:
    with pytest.raises(PixelDataInvalid, match="2 entries, its descriptor tells 256"):
        apply_palette(np.array([[255]], np.uint8), _header([256, 0, 16], _words(1, 2)))
    with pytest.raises(PixelDataInvalid, match="100 entries"):
        apply_palette(np.array([[255]], np.uint8), _header([256, 0, 8], bytes(100)))


def test_missing_or_senseless_tables_are_refused() -> None:
    index = np.array([[0]], np.uint8)
    header = Dataset()
    with pytest.raises(PixelDataInvalid, match="three values"):
        apply_palette(index, header)
    with pytest.raises(PixelDataInvalid, match="3 bits"):
        apply_palette(index, _header([1, 0, 3], b"\0\0"))
    header = _header([2, 0, 16], _words(1, 2))
    del header.GreenPaletteColorLookupTableData
    with pytest.raises(PixelDataInvalid, match="missing"):
        apply_palette(index, header)
    header = _header([2, 0, 16], _words(1, 2))
    header.BluePaletteColorLookupTableDescriptor = [1, 0, 16]
    with pytest.raises(PixelDataInvalid, match="differ"):
        apply_palette(index, header)


def test_segments_expand_as_the_standard_says() -> None:
    # Discrete 3 entries 10 20 30; linear 4 entries up to 70; both copied once more (bytes offset 0).
    data = _words(0, 3, 2560, 5120, 7680, 1, 4, 17920, 2, 2, 0, 0)
    header = _header([14, 0, 16], data, prefix="Segmented")
    rgb = apply_palette(np.arange(14, dtype=np.uint8)[None], header)
    assert rgb[0, :, 0].tolist() == [10, 20, 30, 40, 50, 60, 70] * 2


def test_an_indirect_segment_counts_bytes() -> None:
    # The linear segment stands at word 4, byte 8; copied after 100 it leads from there to 30.
    data = _words(0, 2, 2560, 5120, 1, 1, 7680, 0, 1, 25600, 2, 1, 8, 0)
    header = _header([5, 0, 16], data, prefix="Segmented")
    rgb = apply_palette(np.arange(5, dtype=np.uint8)[None], header)
    assert rgb[0, :, 0].tolist() == [10, 20, 30, 100, 30]


@pytest.mark.parametrize(
    "data",
    [
        _words(0, 5, 1, 2),  # a discrete segment that goes past the data
        _words(1, 5, 100),  # a linear one at the beginning
        _words(7, 1, 1),  # an unknown kind
        _words(0, 0, 0, 0),  # empty segments
        _words(2, 1, 0, 0),  # one that copies itself
        _words(0, 1, 5),  # fewer entries than the descriptor tells
        b"",
    ],
)
def test_damaged_segments_are_refused(data: bytes) -> None:
    with pytest.raises(PixelDataInvalid):
        apply_palette(np.array([[0]], np.uint8), _header([10, 0, 16], data, prefix="Segmented"))


def test_segments_that_stand_for_more_than_the_descriptor_tells_are_cut() -> None:
    header = _header([2, 0, 16], _words(0, 1, 2560, 1, 60000, 5120), prefix="Segmented")
    assert apply_palette(np.array([[0, 1]], np.uint8), header)[0, 0, 0] == 10
