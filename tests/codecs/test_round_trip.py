"""What is encoded comes back: every lossless syntax, sample width, sign, colour and odd size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from imaging.codecs.decode import decode_frame
from imaging.codecs.encode import encode_frame
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.frame_index import FrameIndex, FrameSource
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax

NATIVE = (ts.EXPLICIT_VR_LITTLE_ENDIAN, ts.EXPLICIT_VR_BIG_ENDIAN, ts.DEFLATED_IMAGE_FRAME, ts.GE_PRIVATE_IMPLICIT)
COMPRESSED = (
    ts.RLE_LOSSLESS,
    ts.JPEG_LS_LOSSLESS,
    ts.JPEG_2000_LOSSLESS,
    ts.HTJ2K_LOSSLESS,
    ts.HTJ2K_LOSSLESS_RPCL,
)


@st.composite
def images(draw: st.DrawFn, widths: tuple[tuple[int, int], ...]) -> tuple[NDArray[Any], PixelDescription]:
    """A frame and its description; `widths` are pairs of Bits Allocated and Bits Stored."""
    allocated, stored = draw(st.sampled_from(widths))
    samples = draw(st.sampled_from((1, 3) if allocated <= 16 else (1,)))
    signed = draw(st.integers(0, 1)) if samples == 1 and allocated > 1 else 0
    rows, columns = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = f"{'i' if signed else 'u'}{max(allocated // 8, 1)}"
    shape = (rows, columns) if samples == 1 else (rows, columns, samples)
    texture = draw(st.sampled_from(("noise", "flat", "extremes")))
    if texture == "noise":
        values = generator.integers(low, high, shape, dtype=kind, endpoint=True)
    elif texture == "flat":
        values = np.full(shape, draw(st.integers(low, high)), dtype=kind)
    else:
        values = generator.choice(np.array([low, high], dtype=kind), shape)
    return values, PixelDescription(
        rows=rows,
        columns=columns,
        samples_per_pixel=samples,
        photometric_interpretation="MONOCHROME2" if samples == 1 else "RGB",
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1,
        pixel_representation=signed,
        planar_configuration=None if samples == 1 else draw(st.sampled_from((0, 1))),
    )


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NATIVE), images(((1, 1), (8, 8), (8, 5), (16, 16), (16, 12), (32, 32), (32, 20), (64, 64))))
def test_native_frames_come_back(syntax: str, image: tuple[NDArray[Any], PixelDescription]) -> None:
    values, pixels = image
    decoded = decode_frame(encode_frame(values, syntax, pixels), syntax, pixels)
    assert decoded.dtype == values.dtype
    np.testing.assert_array_equal(decoded, values)


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_an_image_whose_sides_are_as_many_as_its_colours_comes_back(syntax: str) -> None:
    values = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    pixels = PixelDescription(3, 3, 3, "RGB", 8, 8, 7, 0, planar_configuration=0)
    np.testing.assert_array_equal(decode_frame(encode_frame(values, syntax, pixels), syntax, pixels), values)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(COMPRESSED), images(((8, 8), (16, 16), (16, 12), (16, 10), (8, 7))))
def test_compressed_frames_come_back(syntax: str, image: tuple[NDArray[Any], PixelDescription]) -> None:
    values, pixels = image
    decoded = decode_frame(encode_frame(values, syntax, pixels), syntax, pixels)
    assert decoded.dtype == values.dtype
    np.testing.assert_array_equal(decoded, values)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((ts.RLE_LOSSLESS, ts.JPEG_LS_LOSSLESS)), images(((8, 8), (16, 16), (16, 12))))
def test_pydicom_decodes_what_we_encode(syntax: str, image: tuple[NDArray[Any], PixelDescription]) -> None:
    values, pixels = image
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = UID(syntax)
    header.Rows, header.Columns = pixels.rows, pixels.columns
    header.SamplesPerPixel = pixels.samples_per_pixel
    header.PhotometricInterpretation = pixels.photometric_interpretation
    header.BitsAllocated, header.BitsStored, header.HighBit = pixels.bits_allocated, pixels.bits_stored, pixels.high_bit
    header.PixelRepresentation = pixels.pixel_representation
    if pixels.samples_per_pixel > 1:
        header.PlanarConfiguration = 0
    header.PixelData = encapsulate([encode_frame(values, syntax, pixels)])
    np.testing.assert_array_equal(header.pixel_array, values)


@pytest.mark.parametrize("syntax", [ts.JPEG_2000_LOSSLESS, ts.HTJ2K_LOSSLESS_RPCL])
def test_the_reversible_colour_transform_is_undone(syntax: str) -> None:
    values = np.random.default_rng(3).integers(0, 256, (33, 21, 3), dtype=np.uint8)
    pixels = PixelDescription(33, 21, 3, "YBR_RCT", 8, 8, 7, 0, 0)
    encoded = encode_frame(values, syntax, pixels)
    assert encoded != encode_frame(values, syntax, PixelDescription(33, 21, 3, "RGB", 8, 8, 7, 0, 0))
    np.testing.assert_array_equal(decode_frame(encoded, syntax, pixels), values)


def test_float_and_double_frames_come_back() -> None:
    for bits, kind in ((32, np.float32), (64, np.float64)):
        values = np.random.default_rng(5).normal(size=(9, 7)).astype(kind)
        pixels = PixelDescription(9, 7, 1, "MONOCHROME2", bits, bits, bits - 1, 0, is_float=True)
        for syntax in (ts.EXPLICIT_VR_LITTLE_ENDIAN, ts.EXPLICIT_VR_BIG_ENDIAN):
            decoded = decode_frame(encode_frame(values, syntax, pixels), syntax, pixels)
            assert decoded.dtype == kind
            np.testing.assert_array_equal(decoded, values)


def test_a_native_frame_is_not_copied() -> None:
    frame = np.arange(12, dtype="<u2").tobytes()
    decoded = decode_frame(frame, ts.EXPLICIT_VR_LITTLE_ENDIAN, PixelDescription(3, 4, 1, "MONOCHROME2", 16, 16, 15, 0))
    assert np.shares_memory(decoded, np.frombuffer(frame, np.uint8))


def test_unused_bits_are_cleared_or_filled_with_the_sign() -> None:
    frame = np.array([[0xF801, 0x0FFF]], dtype="<u2").tobytes()
    unsigned = PixelDescription(1, 2, 1, "MONOCHROME2", 16, 12, 11, 0)
    signed = PixelDescription(1, 2, 1, "MONOCHROME2", 16, 12, 11, 1)
    assert decode_frame(frame, ts.EXPLICIT_VR_LITTLE_ENDIAN, unsigned).tolist() == [[0x801, 0xFFF]]
    assert decode_frame(frame, ts.EXPLICIT_VR_LITTLE_ENDIAN, signed).tolist() == [[-2047, -1]]


def test_a_frame_of_single_bits_may_begin_inside_a_byte() -> None:
    two_frames = np.random.default_rng(1).integers(0, 2, (2, 3, 7), dtype=np.uint8)
    packed = np.packbits(two_frames.ravel(), bitorder="little").tobytes()
    pixels = PixelDescription(3, 7, 1, "MONOCHROME2", 1, 1, 0, 0, number_of_frames=2)
    second = decode_frame(packed[21 // 8 :], ts.EXPLICIT_VR_LITTLE_ENDIAN, pixels, bit_offset=21 % 8)
    np.testing.assert_array_equal(second, two_frames[1])


def test_bytes_that_big_endian_swapped_as_words_are_put_right() -> None:
    values = np.arange(9, dtype=np.uint8).reshape(3, 3)
    pixels = PixelDescription(3, 3, 1, "MONOCHROME2", 8, 8, 7, 0, number_of_frames=2)
    both = np.concatenate([values.ravel(), values.ravel() + 9]).view(np.uint16).byteswap().tobytes()
    frames = FrameIndex.from_bytes(FrameIndex(FrameSource.NATIVE, 2, frame_bits=72, whole_words=True).to_bytes())
    for index in range(2):
        ((start, length),) = frames.ranges(index)
        decoded = decode_frame(
            both[start : start + length],
            ts.EXPLICIT_VR_BIG_ENDIAN,
            pixels,
            swapped_words=True,
            bit_offset=frames.bit_offset(index),
        )
        np.testing.assert_array_equal(decoded, values + 9 * index)


def test_planes_are_laid_together() -> None:
    planes = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    pixels = PixelDescription(2, 4, 3, "RGB", 8, 8, 7, 0, 1)
    decoded = decode_frame(planes.tobytes(), ts.EXPLICIT_VR_LITTLE_ENDIAN, pixels)
    np.testing.assert_array_equal(decoded, planes.transpose(1, 2, 0))


def test_samples_that_do_not_fit_are_refused() -> None:
    pixels = PixelDescription(1, 2, 1, "MONOCHROME2", 16, 12, 11, 0)
    with pytest.raises(InvalidArgument, match="0 to 4095"):
        encode_frame(np.array([[0, 4096]]), ts.RLE_LOSSLESS, pixels)
    with pytest.raises(InvalidArgument, match="shape"):
        encode_frame(np.zeros((2, 1), np.uint16), ts.RLE_LOSSLESS, pixels)
    with pytest.raises(InvalidArgument, match="Round"):
        encode_frame(np.zeros((1, 2)), ts.RLE_LOSSLESS, pixels)


def test_lossy_syntaxes_are_not_written() -> None:
    pixels = PixelDescription(1, 2, 1, "MONOCHROME2", 8, 8, 7, 0)
    for syntax in (ts.JPEG_BASELINE_8BIT, ts.JPEG_2000, ts.HTJ2K, f"{ts.JPEG_2000}02"):
        with pytest.raises(UnsupportedTransferSyntax):
            encode_frame(np.zeros((1, 2), np.uint8), syntax, pixels)


def test_a_part_10_file_with_our_rle_is_read_by_pydicom() -> None:
    header = pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm", download=False))
    expected = header.pixel_array
    pixels = PixelDescription(64, 64, 1, "MONOCHROME2", 16, 16, 15, 1)
    header.PixelData = encapsulate([encode_frame(expected, ts.RLE_LOSSLESS, pixels)])
    header.file_meta.TransferSyntaxUID = UID(ts.RLE_LOSSLESS)
    header["PixelData"].VR = "OB"
    header["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    header.save_as(file)
    file.seek(0)
    np.testing.assert_array_equal(pydicom.dcmread(file).pixel_array, expected)
