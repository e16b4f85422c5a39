"""Pixel attributes: checked as integers before anything is allocated; lengths compared with what they declare."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from imaging.dicom.frame_index import FrameSource
from imaging.dicom.pixel_description import PixelDescription, check_pixels
from imaging.dicom.scan_warning import has_warning
from imaging.dicom.scanner import scan
from imaging.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN, JPEG_BASELINE_8BIT
from imaging.errors import PixelDataInvalid
from tests.dicom.part10 import data_set, encapsulated, file_meta, image, part10, us

ROWS, COLUMNS, SAMPLES, PHOTOMETRIC, FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280004, 0x00280008
ALLOCATED, STORED, HIGH_BIT, REPRESENTATION, PLANAR = 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280006


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (ROWS, 0),
        (COLUMNS, 0),
        (SAMPLES, 0),
        (SAMPLES, 2),
        (SAMPLES, 255),
        (ALLOCATED, 0),
        (ALLOCATED, 1),
        (ALLOCATED, 12),
        (ALLOCATED, 2048),
        (STORED, 0),
        (STORED, 17),
        (HIGH_BIT, 10),
        (HIGH_BIT, 16),
        (HIGH_BIT, 65535),
        (REPRESENTATION, 2),
        (PLANAR, 2),
    ],
)
def test_attribute_that_no_image_can_have_is_refused(tag: int, value: int) -> None:
    with pytest.raises(PixelDataInvalid) as caught:
        scan(part10(image() | {tag: ("US", us(value))}))
    assert "byte " in caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize(
    "value", [b"2147483648", b"-1", b"0 ", b"1e9 ", b"1A", b"", b"  ", b"4294967297", b"9" * 60, b"1\\2 ", b"1.0 "]
)
def test_number_of_frames_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(PixelDataInvalid, match="Number of Frames"):
        scan(part10(image() | {FRAMES: ("IS", value)}))


def test_greatest_number_of_frames_takes_no_memory_and_no_loop() -> None:
    data = part10(image() | {FRAMES: ("IS", b"2147483647")})
    tracemalloc.start()
    instance = scan(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert instance.frames is not None
    assert instance.frames.frame_count == 1
    assert has_warning(instance.warnings, "pixel_mismatch")
    assert peak < 1_000_000


def test_small_file_that_declares_a_large_image_allocates_nothing() -> None:
    values = image(pixel_data=b"\0\0") | {ROWS: ("US", us(65535)), COLUMNS: ("US", us(65535))}
    tracemalloc.start()
    instance = scan(part10(values))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert instance.pixels is not None
    assert instance.pixels.native_bytes == 65535 * 65535 * 2
    assert instance.frames is not None
    assert instance.frames.frame_count == 0
    assert has_warning(instance.warnings, "pixel_mismatch")
    assert peak < 1_000_000


def test_pixel_data_of_another_length_is_told() -> None:
    short = scan(part10(image(pixel_data=bytes(30))))
    assert [warning.code for warning in short.warnings] == ["pixel_mismatch"]
    long = scan(part10(image(pixel_data=bytes(40))))
    assert [warning.code for warning in long.warnings] == ["pixel_padding"]


def test_frames_that_are_whole_are_found_in_short_pixel_data() -> None:
    instance = scan(part10(image(pixel_data=bytes(80)) | {FRAMES: ("IS", b"3 ")}))
    assert instance.frames is not None
    assert instance.frames.frame_count == 2


@pytest.mark.parametrize("tag", [ROWS, COLUMNS, SAMPLES, PHOTOMETRIC, ALLOCATED, STORED, REPRESENTATION])
@pytest.mark.parametrize("empty", [True, False])
def test_missing_attribute_is_told_and_pixels_are_unknown(tag: int, empty: bool) -> None:
    values = image()
    values[tag] = (values[tag][0], b"")
    if not empty:
        del values[tag]
    instance = scan(part10(values))
    assert instance.pixels is None
    assert instance.frames is None
    assert has_warning(instance.warnings, "pixel_attributes_missing")


def test_attribute_in_another_vr_is_refused() -> None:
    with pytest.raises(PixelDataInvalid, match="Rows is not a 16-bit number"):
        scan(part10(image() | {ROWS: ("LO", b"4 ")}))


def test_high_bit_may_be_missing() -> None:
    values = image()
    del values[HIGH_BIT]
    pixels = scan(part10(values)).pixels
    assert pixels is not None
    assert pixels.high_bit == 11


@pytest.mark.parametrize(("tag", "bits"), [(0x7FE00008, 32), (0x7FE00009, 64)])
def test_float_pixels_need_no_bits_stored(tag: int, bits: int) -> None:
    values = image() | {ALLOCATED: ("US", us(bits)), tag: ("OF" if bits == 32 else "OD", bytes(4 * 4 * bits // 8))}
    for absent in (STORED, HIGH_BIT, REPRESENTATION, 0x7FE00010):
        del values[absent]
    instance = scan(part10(values))
    assert instance.warnings == ()
    assert instance.pixels is not None
    assert instance.pixels.is_float
    assert instance.pixels.bits_stored == bits
    assert instance.pixel_data is not None
    assert instance.pixel_data.tag == tag


def test_subsampled_colour_takes_two_thirds() -> None:
    values = image(2, 4, pixel_data=bytes(16)) | {SAMPLES: ("US", us(3)), PHOTOMETRIC: ("CS", b"YBR_FULL_422")}
    values |= {ALLOCATED: ("US", us(8)), STORED: ("US", us(8)), HIGH_BIT: ("US", us(7)), PLANAR: ("US", us(0))}
    assert scan(part10(values)).warnings == ()


def test_pixels_encoded_against_the_transfer_syntax_have_no_frames() -> None:
    values = image()
    native_under_jpeg = scan(part10(values, JPEG_BASELINE_8BIT))
    assert native_under_jpeg.frames is None
    assert has_warning(native_under_jpeg.warnings, "pixel_encoding")
    del values[0x7FE00010]
    fragments_under_native = scan(part10(data_set(values) + encapsulated([b"\xff\xd8"])))
    assert fragments_under_native.frames is None
    assert has_warning(fragments_under_native.warnings, "pixel_encoding")


def test_big_endian_numbers_are_read_as_such() -> None:
    values = {tag: (vr, value[::-1] if vr == "US" else value) for tag, (vr, value) in image().items()}
    instance = scan(file_meta(EXPLICIT_VR_BIG_ENDIAN) + data_set(values, big=True))
    assert instance.pixels is not None
    assert (instance.pixels.rows, instance.pixels.bits_stored) == (4, 12)
    assert instance.pixel_data is not None
    assert instance.pixel_data.vr == "OW"
    assert instance.attributes["Rows"] == 4


def test_icon_image_is_not_taken_for_the_pixels() -> None:
    icon = data_set({tag: each for tag, each in image(2, 2).items() if tag >> 16 >= 0x28})
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(icon)) + icon
    instance = scan(part10(image() | {0x00880200: ("SQ", item)}))
    assert instance.pixels is not None
    assert instance.pixels.rows == 4
    assert instance.frames is not None
    assert instance.frames.source is FrameSource.NATIVE


def test_sizes_are_exact_integers() -> None:
    pixels = PixelDescription(65535, 65535, 3, "RGB", 64, 64, 63, 0, 0, 2**31 - 1)
    check_pixels(pixels)
    assert pixels.native_bytes == 65535 * 65535 * 3 * 8 * (2**31 - 1)
    bits = PixelDescription(3, 5, 1, "MONOCHROME2", 1, 1, 0, 0, None, 3)
    assert (bits.native_frame_bits, bits.native_frame_bytes, bits.native_bytes) == (15, 2, 6)
    assert bits.decoded_frame_bytes == 15
