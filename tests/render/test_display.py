"""Whole frames through the pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from imaging.errors import InvalidArgument, PixelDataInvalid
from imaging.render.display import render, render_frame
from imaging.render.voi_lut import Window, WindowFunction

WHEEL = Path(pydicom.__file__).parent / "data" / "test_files"


def _header(**attributes: object) -> Dataset:
    header = Dataset()
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored = 12
    header.PixelRepresentation = 0
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def test_a_ct_frame_is_shown_in_its_window() -> None:
    header = _header(RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    stored = np.array([[0, 864, 1063, 1064, 1263, 4095]], np.uint16)
    # HU -1024, -160, 39, 40, 239, 3071; (39 - 39.5) / 399 + 0.5 -> 127.18, (40 - 39.5) / 399 + 0.5 -> 127.82
    assert render_frame(stored, header).tolist() == [[0, 0, 127, 128, 255, 255]]


def test_a_window_asked_for_replaces_the_one_of_the_header() -> None:
    header = _header(RescaleSlope=1, RescaleIntercept=0, WindowCenter=40, WindowWidth=400)
    stored = np.array([[0, 1, 2]], np.uint16)
    assert render_frame(stored, header, window=(1.5, 3)).tolist() == [[0, 128, 255]]
    with pytest.raises(InvalidArgument):
        render_frame(stored, header, window=(1, 0))


@pytest.mark.parametrize(
    "attributes", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}]
)
def test_inverted_images_show_low_values_bright(attributes: dict[str, str]) -> None:
    header = _header(WindowCenter=2, WindowWidth=4, **attributes)
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    # LINEAR: 0, 85, 170, 255
    assert render_frame(stored, header).tolist() == [[255, 170, 85, 0]]


def test_padding_is_black_whatever_the_polarity() -> None:
    stored = np.array([[-2000, -1500, -1, 100]], np.int16)
    header = _header(
        PixelRepresentation=1, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1000, WindowCenter=50, WindowWidth=101
    )
    assert render_frame(stored, header).tolist() == [[0, 0, 0, 255]]
    header.PhotometricInterpretation = "MONOCHROME1"
    assert render_frame(stored, header).tolist() == [[0, 0, 255, 0]]


def test_a_padding_value_written_in_the_other_sign_is_understood() -> None:
    header = _header(PixelRepresentation=1, WindowCenter=0, WindowWidth=1, PhotometricInterpretation="MONOCHROME1")
    header.add_new("PixelPaddingValue", "US", 63536)
    assert render_frame(np.array([[-2000, -1999]], np.int16), header).tolist() == [[0, 255]]


def test_without_a_window_ct_is_shown_as_soft_tissue() -> None:
    header = _header(Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    rendering = render(np.array([[0, 1064]], np.uint16), header)
    assert isinstance(rendering.voi, Window)
    assert (rendering.voi.center, rendering.voi.width) == (40, 400)


def test_without_a_window_8_bit_images_stay_as_they_are() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert render_frame(stored, _header(BitsStored=8)).tolist() == stored.tolist()


def test_a_mask_of_single_bits_is_black_and_white() -> None:
    assert render_frame(np.array([[0, 1]], np.uint8), _header(BitsStored=1)).tolist() == [[0, 255]]


def test_without_a_window_percentiles_leave_out_padding_and_outliers() -> None:
    stored = np.full((100, 100), 500, np.uint16)
    stored[:, :50] = 1500
    stored[0, :10] = 65535
    stored[-20:] = 9
    rendering = render(stored, _header(BitsStored=16, PixelPaddingValue=9))
    assert rendering.voi == Window(1000.0, 1000.0, WindowFunction.LINEAR_EXACT, "PERCENTILES")
    assert rendering.pixels[50, 0] == 255
    assert rendering.pixels[50, 99] == 0
    assert rendering.pixels[99, 0] == 0


def test_a_flat_or_wholly_padded_image_renders() -> None:
    assert render_frame(np.full((2, 2), 7, np.uint16), _header()).shape == (2, 2)
    assert render_frame(np.full((2, 2), 7, np.uint16), _header(PixelPaddingValue=7)).tolist() == [[0, 0], [0, 0]]


def test_a_window_width_of_0_becomes_all_values_with_a_warning() -> None:
    rendering = render(np.array([[10, 20, 30]], np.uint16), _header(WindowCenter=0, WindowWidth=0))
    assert rendering.pixels.tolist() == [[0, 128, 255]]
    assert len(rendering.warnings) == 2


def test_broken_rescale_values_render_with_a_warning() -> None:
    header = _header(WindowCenter=2, WindowWidth=4, RescaleSlope=0, RescaleIntercept=0)
    rendering = render(np.array([[0, 3]], np.uint16), header)
    assert rendering.pixels.tolist() == [[0, 255]]
    assert "Rescale Slope" in rendering.warnings[0]


def test_a_voi_lut_without_a_modality_lut_is_applied() -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [2, 1, 8], [51, 255]
    assert render_frame(np.array([[0, 1, 2]], np.uint16), _header(VOILUTSequence=[item])).tolist() == [[51, 51, 255]]


def test_floating_point_pixels_render_and_what_is_no_number_is_black() -> None:
    stored = np.array([[0.0, 0.5, 1.0, np.nan, np.inf]], np.float32)
    header = _header(WindowCenter=0.5, WindowWidth=1, VOILUTFunction="LINEAR_EXACT")
    assert render_frame(stored, header).tolist() == [[0, 128, 255, 0, 0]]
    assert render_frame(stored, _header())[0, 3:].tolist() == [0, 0]


def test_a_table_gives_the_same_as_every_pixel_by_itself() -> None:
    stored = np.random.default_rng(2).integers(-3000, 3000, (90, 80), dtype=np.int16)
    header = _header(
        PixelRepresentation=1, RescaleSlope=0.7, RescaleIntercept=3, WindowCenter=10, WindowWidth=900, BitsStored=16
    )
    by_table = render_frame(stored, header)
    by_pixel = np.array([render_frame(row[:, None], header)[:, 0] for row in stored])
    np.testing.assert_array_equal(by_table, by_pixel)


def test_colour_is_left_alone_and_16_bit_colour_is_narrowed() -> None:
    rgb = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert render_frame(rgb, _header(PhotometricInterpretation="RGB", BitsStored=8)).tolist() == rgb.tolist()
    deep = np.array([[[0, 256, 65535]]], np.uint16)
    header = _header(PhotometricInterpretation="RGB", BitsStored=16)
    assert render_frame(deep, header).tolist() == [[[0, 1, 255]]]


def test_samples_that_are_no_image_are_refused() -> None:
    with pytest.raises(PixelDataInvalid):
        render_frame(np.zeros((2, 2, 4), np.uint8), _header())


def test_every_wheel_image_that_pydicom_decodes_renders() -> None:
    rendered = 0
    for path in sorted(WHEEL.glob("*.dcm")):
        header = pydicom.dcmread(path, force=True)
        try:
            stored = header.pixel_array
        except Exception:  # noqa: BLE001 - no image, or one that pydicom cannot decode
            continue
        frame = stored[0] if int(header.get("NumberOfFrames") or 1) > 1 else stored
        pixels = render_frame(frame, header)
        assert pixels.dtype == np.uint8, path.name
        assert pixels.shape[:2] == (header.Rows, header.Columns), path.name
        assert pixels.min() < pixels.max(), path.name
        rendered += 1
    assert rendered >= 50
