"""Frames that are not what their attributes say are refused with the reason, before anything is allocated."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from wheel_images import describe, frames, wheel_file

from imaging.codecs.decode import decode_frame
from imaging.codecs.encode import encode_frame
from imaging.codecs.registry import CODECS
from imaging.dicom import transfer_syntax as ts
from imaging.dicom.pixel_description import PixelDescription
from imaging.errors import PixelDataInvalid, UnsupportedTransferSyntax

GREY = PixelDescription(24, 40, 1, "MONOCHROME2", 8, 8, 7, 0)
DEEP = PixelDescription(24, 40, 1, "MONOCHROME2", 16, 12, 11, 0)
COLOUR = PixelDescription(24, 40, 3, "RGB", 8, 8, 7, 0, 0)
_random = np.random.default_rng(11)
BYTES = _random.integers(0, 256, (24, 40), dtype=np.uint8)
WORDS = _random.integers(0, 4096, (24, 40), dtype=np.uint16)
PICTURE = _random.integers(0, 256, (24, 40, 3), dtype=np.uint8)


def _refused(frame: bytes, syntax: str, pixels: PixelDescription) -> PixelDataInvalid:
    with pytest.raises(PixelDataInvalid) as refusal:
        decode_frame(frame, syntax, pixels)
    assert refusal.value.where
    assert refusal.value.hint
    return refusal.value


def _jpeg(image: np.ndarray, **options: object) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(image, **options))


ENCODED = {
    ts.JPEG_BASELINE_8BIT: (_jpeg(BYTES), GREY),
    ts.JPEG_LOSSLESS_SV1: (_jpeg(WORDS, lossless=True, predictor=1, bitspersample=12), DEEP),
    ts.RLE_LOSSLESS: (encode_frame(WORDS, ts.RLE_LOSSLESS, DEEP), DEEP),
    ts.JPEG_LS_LOSSLESS: (encode_frame(WORDS, ts.JPEG_LS_LOSSLESS, DEEP), DEEP),
    ts.JPEG_2000_LOSSLESS: (encode_frame(WORDS, ts.JPEG_2000_LOSSLESS, DEEP), DEEP),
    ts.HTJ2K_LOSSLESS_RPCL: (encode_frame(WORDS, ts.HTJ2K_LOSSLESS_RPCL, DEEP), DEEP),
    ts.EXPLICIT_VR_LITTLE_ENDIAN: (WORDS.tobytes(), DEEP),
    ts.DEFLATED_IMAGE_FRAME: (encode_frame(WORDS, ts.DEFLATED_IMAGE_FRAME, DEEP), DEEP),
}


@pytest.mark.parametrize("syntax", ENCODED)
def test_a_frame_cut_anywhere_is_refused(syntax: str) -> None:
    frame, pixels = ENCODED[syntax]
    decode_frame(frame, syntax, pixels)
    for cut in {0, 1, 2, 10, *(len(frame) * part // 24 for part in range(24)), len(frame) - 2}:
        _refused(frame[:cut], syntax, pixels)


@pytest.mark.parametrize("syntax", [syntax for syntax in ENCODED if syntax not in (ts.RLE_LOSSLESS,)])
def test_rows_or_columns_that_contradict_the_frame_are_refused(syntax: str) -> None:
    frame, pixels = ENCODED[syntax]
    _refused(frame, syntax, replace(pixels, rows=25))
    _refused(frame, syntax, replace(pixels, columns=41))
    _refused(frame, syntax, replace(pixels, rows=40, columns=25))


@pytest.mark.parametrize("syntax", ENCODED)
def test_samples_per_pixel_that_contradict_the_frame_are_refused(syntax: str) -> None:
    frame, pixels = ENCODED[syntax]
    _refused(frame, syntax, replace(pixels, samples_per_pixel=3, photometric_interpretation="RGB"))


def test_bytes_that_are_no_codestream_are_refused_by_every_codec() -> None:
    for syntax in CODECS:
        _refused(b"", syntax, DEEP)
        _refused(b"\xff" * 100, syntax, DEEP)


def test_12_bit_samples_in_the_8_bit_syntax_are_refused() -> None:
    frame = _jpeg(WORDS, bitspersample=12)
    decode_frame(frame, ts.JPEG_EXTENDED_12BIT, DEEP)
    assert "12 bits" in _refused(frame, ts.JPEG_BASELINE_8BIT, DEEP).what


def test_more_bits_than_allocated_are_refused() -> None:
    for syntax in (ts.JPEG_LOSSLESS_SV1, ts.JPEG_LS_LOSSLESS, ts.JPEG_2000_LOSSLESS, ts.HTJ2K_LOSSLESS_RPCL):
        assert "Bits Allocated is 8" in _refused(ENCODED[syntax][0], syntax, GREY).what


def test_arithmetic_coding_is_refused() -> None:
    frame = _jpeg(BYTES).replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert "arithmetic" in _refused(frame, ts.JPEG_BASELINE_8BIT, GREY).what


def test_lossless_jpeg_in_a_lossy_syntax_is_refused_and_the_other_way_round() -> None:
    lossless, _ = ENCODED[ts.JPEG_LOSSLESS_SV1]
    assert "lossless" in _refused(lossless, ts.JPEG_EXTENDED_12BIT, DEEP).what
    assert "baseline" in _refused(_jpeg(BYTES), ts.JPEG_LOSSLESS, GREY).what


def test_classic_jpeg_2000_in_a_high_throughput_syntax_is_refused() -> None:
    assert "classic" in _refused(ENCODED[ts.JPEG_2000_LOSSLESS][0], ts.HTJ2K_LOSSLESS, DEEP).what


def test_components_that_contradict_samples_per_pixel_are_refused() -> None:
    assert "3 components" in _refused(_jpeg(PICTURE), ts.JPEG_BASELINE_8BIT, GREY).what
    assert "1 components" in _refused(_jpeg(BYTES), ts.JPEG_BASELINE_8BIT, COLOUR).what


def _siz(frame: bytes, **fields: int) -> bytes:
    """The codestream with other values in its image size marker segment."""
    offsets = {"columns": 8, "rows": 12, "tile_columns": 24, "tile_rows": 28}
    damaged = bytearray(frame)
    for name, value in fields.items():
        struct.pack_into(">I", damaged, offsets[name], value)
    return bytes(damaged)


def test_a_jpeg_2000_image_of_65_thousand_pixels_a_side_is_refused_by_its_header() -> None:
    frame = _siz(ENCODED[ts.JPEG_2000_LOSSLESS][0], columns=65535, rows=65535)
    assert "65535" in _refused(frame, ts.JPEG_2000_LOSSLESS, DEEP).what


def test_a_bomb_of_tiles_is_refused() -> None:
    image = np.zeros((256, 256), np.uint8)
    pixels = PixelDescription(256, 256, 1, "MONOCHROME2", 8, 8, 7, 0)
    for syntax in (ts.JPEG_2000_LOSSLESS, ts.HTJ2K_LOSSLESS):
        frame = _siz(encode_frame(image, syntax, pixels), tile_columns=1, tile_rows=1)
        assert "65536 tiles" in _refused(frame, syntax, pixels).what


def test_rle_segments_that_do_not_fit_are_refused() -> None:
    frame, pixels = ENCODED[ts.RLE_LOSSLESS]
    assert "2 RLE segments" in _refused(frame, ts.RLE_LOSSLESS, GREY).what
    assert (
        "do not grow"
        in _refused(frame[:4] + struct.pack("<2I", 64, 1 << 30) + frame[12:], ts.RLE_LOSSLESS, pixels).what
    )
    assert "holds" in _refused(frame, ts.RLE_LOSSLESS, replace(pixels, rows=60)).what


def test_native_frames_of_another_length_are_refused() -> None:
    frame = WORDS.tobytes()
    assert "1918 bytes" in _refused(frame[:-2], ts.EXPLICIT_VR_LITTLE_ENDIAN, DEEP).what
    assert "1922 bytes" in _refused(frame + b"\0\0", ts.EXPLICIT_VR_LITTLE_ENDIAN, DEEP).what


def test_the_padding_of_an_odd_frame_is_let_pass() -> None:
    pixels = PixelDescription(3, 3, 1, "MONOCHROME2", 8, 8, 7, 0)
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    for padded in (image.tobytes(), image.tobytes() + b"\0"):
        np.testing.assert_array_equal(decode_frame(padded, ts.EXPLICIT_VR_LITTLE_ENDIAN, pixels), image)


def test_a_deflated_frame_that_inflates_to_more_is_refused_without_inflating_it() -> None:
    deflater = zlib.compressobj(wbits=-15)
    bomb = deflater.compress(bytes(50 << 20)) + deflater.flush()
    tracemalloc.start()
    try:
        _refused(bomb, ts.DEFLATED_IMAGE_FRAME, DEEP)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_tiny_file_that_declares_a_large_image_allocates_nothing() -> None:
    pixels = PixelDescription(1024, 1024, 3, "RGB", 8, 8, 7, 0, 0)
    tracemalloc.start()
    try:
        for syntax in CODECS:
            _refused(b"\0" * 340, syntax, pixels)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "impossible",
    [
        {"rows": 65535, "columns": 65535},
        {"rows": 0},
        {"samples_per_pixel": 0},
        {"samples_per_pixel": 255},
        {"bits_allocated": 0},
        {"bits_allocated": 12},
        {"bits_allocated": 24},
        {"bits_allocated": 2048},
        {"bits_stored": 17},
        {"high_bit": 16},
        {"pixel_representation": 2},
    ],
)
def test_an_impossible_description_is_refused(impossible: dict[str, int]) -> None:
    _refused(WORDS.tobytes(), ts.EXPLICIT_VR_LITTLE_ENDIAN, replace(DEEP, **impossible))


def test_ybr_of_more_than_8_bits_is_refused() -> None:
    pixels = PixelDescription(24, 40, 3, "YBR_FULL", 16, 16, 15, 0, 0)
    _refused(bytes(24 * 40 * 6), ts.EXPLICIT_VR_LITTLE_ENDIAN, pixels)


def test_syntaxes_without_a_codec_are_named() -> None:
    with pytest.raises(UnsupportedTransferSyntax, match="MPEG"):
        decode_frame(b"", "1.2.840.10008.1.2.4.102", DEEP)
    with pytest.raises(UnsupportedTransferSyntax, match="unknown"):
        decode_frame(b"", "1.2.3", DEEP)


def test_a_jfif_marker_means_ybr_whatever_the_header_says() -> None:
    header = wheel_file("SC_rgb_dcmtk_+eb+cy+np.dcm")
    frame, pixels = next(frames(header))[0], describe(header)
    assert b"JFIF" in frame
    expected = decode_frame(frame, ts.JPEG_BASELINE_8BIT, pixels)
    mistaken = decode_frame(frame, ts.JPEG_BASELINE_8BIT, replace(pixels, photometric_interpretation="RGB"))
    np.testing.assert_array_equal(mistaken, expected)


def test_an_adobe_marker_of_ycc_is_undone_once() -> None:
    smooth = np.stack(np.meshgrid(np.arange(0, 160, 4), np.arange(0, 240, 10), indexing="xy"), -1).astype(np.uint8)
    picture = np.concatenate([smooth, np.full((24, 40, 1), 90, np.uint8)], -1)
    jfif = _jpeg(picture, level=98, subsampling="444")
    app0_end = 4 + struct.unpack_from(">H", jfif, 4)[0]
    adobe = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01" + jfif[app0_end:]
    for interpretation in ("RGB", "YBR_FULL", "YBR_FULL_422"):
        described = replace(COLOUR, photometric_interpretation=interpretation)
        decoded = decode_frame(adobe, ts.JPEG_BASELINE_8BIT, described).astype(int)
        assert np.abs(decoded - picture).max() < 12, interpretation
