"""Stored pixels to values: the Modality LUT, padding, colour."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from analysis_svc.frame_values import image_frame, series_attributes, series_units
from imaging.errors import PixelDataInvalid


def _header(**attributes: object) -> Dataset:
    header = Dataset()
    header.SOPInstanceUID, header.SOPClassUID = "1.2.3", "1.2.4"
    header.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def _read(name: str) -> Dataset:
    return dcmread(str(get_testdata_file(name, download=False)))


def test_ct_values_are_hounsfield_units_and_stay_whole() -> None:
    dataset = _read("CT_small.dcm")
    frame = image_frame(dataset.pixel_array, dataset, 1)
    assert frame.pixels.dtype == np.int16
    assert np.array_equal(frame.pixels, apply_modality_lut(dataset.pixel_array, dataset))
    assert series_units(dataset) == "[hnsf'U]"
    assert frame.source.sop_instance_uid == dataset.SOPInstanceUID


def test_a_fractional_slope_gives_float_values() -> None:
    stored = np.array([[1, 2], [3, 4]], dtype=np.uint16)
    frame = image_frame(stored, _header(RescaleSlope="0.5", RescaleIntercept="-1"), 1)
    assert frame.pixels.tolist() == [[-0.5, 0.0], [0.5, 1.0]]


def test_a_slope_of_zero_counts_as_absent() -> None:
    stored = np.array([[1, 2]], dtype=np.uint8)
    frame = image_frame(stored, _header(RescaleSlope="0", RescaleIntercept="0"), 1)
    assert frame.pixels.tolist() == [[1, 2]]
    assert "Rescale Slope" in frame.warnings[0]


def test_each_frame_of_an_enhanced_image_has_its_own_slope() -> None:
    header = _header(NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[])
    for slope in (1, 3):
        scale, groups = Dataset(), Dataset()
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = slope, 0, "US"
        groups.PixelValueTransformationSequence = [scale]
        header.PerFrameFunctionalGroupsSequence.append(groups)
    stored = np.array([[2]], dtype=np.uint8)
    assert [float(image_frame(stored, header, number).pixels[0, 0]) for number in (1, 2)] == [2.0, 6.0]


def test_dose_has_grays() -> None:
    header = _header(Modality="RTDOSE", DoseGridScaling="0.001", DoseUnits="GY")
    assert image_frame(np.array([[5000]], dtype=np.uint32), header, 1).pixels[0, 0] == pytest.approx(5.0)
    assert series_units(header) == "Gy"


def test_padding_and_its_range_are_told() -> None:
    stored = np.array([[-2000, -1500, -1000, 5]], dtype=np.int16)
    header = _header(PixelPaddingValue=-2000)
    valid = image_frame(stored, header, 1).valid
    assert valid is not None
    assert valid.tolist() == [[False, True, True, True]]
    header.PixelPaddingRangeLimit = -1200
    valid = image_frame(stored, header, 1).valid
    assert valid is not None
    assert valid.tolist() == [[False, False, True, True]]


def test_colour_becomes_luminance() -> None:
    rgb = np.array([[[255, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    frame = image_frame(rgb, _header(PhotometricInterpretation="RGB"), 1)
    assert frame.pixels[0].tolist() == pytest.approx([76.245, 255.0], rel=1e-5)


def test_a_palette_is_looked_up_before() -> None:
    dataset = _read("examples_palette.dcm")
    frame = image_frame(dataset.pixel_array, dataset, 1)
    assert frame.pixels.shape == dataset.pixel_array.shape
    assert not np.array_equal(frame.pixels, dataset.pixel_array)


def test_a_palette_that_is_missing_is_a_typed_error() -> None:
    with pytest.raises(PixelDataInvalid):
        image_frame(np.zeros((2, 2), dtype=np.uint8), _header(PhotometricInterpretation="PALETTE COLOR"), 1)


def test_attributes_that_are_empty_are_left_out() -> None:
    header = _header(ConvolutionKernel="B30f", BodyPartExamined="", ImageType=["ORIGINAL", "PRIMARY"])
    assert series_attributes(header) == {"ConvolutionKernel": "B30f", "ImageType": "ORIGINAL\\PRIMARY"}
