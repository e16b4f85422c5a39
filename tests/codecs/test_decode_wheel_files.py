"""Decoded frames equal pydicom's `pixel_array`, for every image that its wheel carries."""

from __future__ import annotations

import warnings

import numpy as np
import pydicom
import pytest
from wheel_images import WHEEL, describe, frames, wheel_file

from imaging.codecs.decode import decode_frame
from imaging.errors import PixelDataInvalid

_NOT_IMAGES = {"badVR.dcm", "nested_priv_SQ.dcm", "meta_missing_tsyntax.dcm", "MR_truncated.dcm"}


def _image_files() -> list[str]:
    names = []
    for path in sorted(WHEEL.rglob("*")):
        if not path.is_file() or path.name in _NOT_IMAGES:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = pydicom.dcmread(path)
                if {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(header.dir()):
                    names.append(str(path.relative_to(WHEEL)))
        except Exception:  # noqa: BLE001 - whatever pydicom cannot read is not for this test
            continue
    return names


def decode_all(header: pydicom.Dataset) -> np.ndarray:
    pixels = describe(header)
    keyword = next(key for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if key in header)
    swapped = header.is_little_endian is False and header[keyword].VR == "OW" and pixels.bits_allocated == 8
    if swapped:
        size = pixels.native_frame_bytes
        words = [(index * size // 2 * 2, (index + 1) * size + 1) for index in range(pixels.number_of_frames)]
        decoded = [
            decode_frame(
                header.PixelData[start : stop // 2 * 2],
                header.file_meta.TransferSyntaxUID,
                pixels,
                swapped_words=True,
                bit_offset=(index * size - start) * 8,
            )
            for index, (start, stop) in enumerate(words)
        ]
    else:
        decoded = [
            decode_frame(frame, header.file_meta.TransferSyntaxUID, pixels, bit_offset=bit_offset)
            for frame, bit_offset in frames(header)
        ]
    return np.stack(decoded) if pixels.number_of_frames > 1 else decoded[0]


def _expected(header: pydicom.Dataset) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return header.pixel_array
        except (RuntimeError, ValueError, NotImplementedError):
            return None


@pytest.mark.parametrize("name", _image_files())
def test_every_wheel_image_decodes_to_the_pixel_array_of_pydicom(name: str) -> None:
    header = wheel_file(name)
    expected = _expected(header)
    if expected is None:
        pytest.skip("pydicom has no decoder for it here; see the references below")
    decoded = decode_all(header)
    assert decoded.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(decoded, expected)


# Images that pydicom cannot decode in this environment: equal to an uncompressed twin, or to values known from it.


def test_lossless_jpeg_in_colour_equals_its_twin_in_rle() -> None:
    decoded = decode_all(wheel_file("SC_rgb_jpeg_gdcm.dcm"))
    np.testing.assert_array_equal(decoded, wheel_file("SC_rgb_rle.dcm").pixel_array)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_extended_jpeg_of_12_bits_has_the_values_that_pydicom_documents(name: str) -> None:
    decoded = decode_all(wheel_file(name))
    assert decoded.dtype == np.uint16
    assert decoded.shape == (1024, 256)
    assert decoded[420, 140] == 244
    assert decoded[230, 120] == 95


def test_colour_jpeg_2000_in_a_jp2_file_shows_red_green_and_blue_words_on_grey() -> None:
    decoded = decode_all(wheel_file("GDCMJ2K_TextGBR.dcm"))
    assert decoded.shape == (400, 400, 3)
    colours, counts = np.unique(decoded.reshape(-1, 3), axis=0, return_counts=True)
    most = {tuple(int(value) for value in colours[index]) for index in np.argsort(-counts)[:4]}
    assert most == {(128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255)}


def test_a_codestream_with_a_damaged_header_is_refused() -> None:
    header = wheel_file("JPEG2000-embedded-sequence-delimiter.dcm")
    with pytest.raises(PixelDataInvalid):
        decode_all(header)
