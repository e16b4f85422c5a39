"""Geometry out of headers of every kind, and refusals instead of crashes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from imaging.errors import VolumeRefused
from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.assemble import assemble
from imaging.volume.frame_headers import frame_headers
from imaging.volume.value_units import value_units


def _read(name: str) -> Dataset:
    return dcmread(str(get_testdata_file(name, download=False)))


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _enhanced(count: int = 4) -> Dataset:
    dataset = _item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        SOPInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.4",
        FrameOfReferenceUID="1.2.5",
        Modality="MR",
        NumberOfFrames=count,
        Rows=6,
        Columns=5,
        SamplesPerPixel=1,
        ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"],
    )
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])],
            PixelMeasuresSequence=[_item(PixelSpacing=[0.8, 0.9], SliceThickness=3, SpacingBetweenSlices=3.3)],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[_item(StackID="1", TemporalPositionIndex=1)],
            PlanePositionSequence=[_item(ImagePositionPatient=[-3.3 * index, 10, 20])],
            PixelValueTransformationSequence=[_item(RescaleSlope=2, RescaleIntercept=-4096 + index, RescaleType="US")],
        )
        for index in range(count)
    ]
    return dataset


def test_a_classic_ct_image_tells_everything() -> None:
    (header,) = frame_headers(_read("CT_small.dcm"))
    assert (header.rows, header.columns) == (128, 128)
    assert header.position_mm == (-158.135803, -179.035797, -75.699997)
    assert header.pixel_spacing_mm == (0.661468, 0.661468)
    assert header.slice_thickness_mm == 5.0
    assert (header.rescale_slope, header.rescale_intercept) == (1.0, -1024.0)
    assert header.units == "[hnsf'U]"
    assert header.padding_value == -2000 - 1024
    assert header.attributes["Manufacturer"] == "GE MEDICAL SYSTEMS"
    assert header.frame_number == 1


def test_padding_that_is_written_in_the_other_sign_is_what_the_pixels_have() -> None:
    dataset = _read("CT_small.dcm")
    del dataset.PixelPaddingValue
    dataset.add_new("PixelPaddingValue", "US", 63536)
    dataset.add_new("PixelPaddingRangeLimit", "US", 64536)
    (header,) = frame_headers(dataset)
    assert (header.padding_value, header.padding_limit) == (-2000 - 1024, -1000 - 1024)


def test_an_enhanced_image_takes_shared_and_per_frame_groups() -> None:
    dataset = _enhanced()
    headers = frame_headers(dataset)
    assert [header.frame_number for header in headers] == [1, 2, 3, 4]
    assert headers[2].position_mm == (-6.6, 10.0, 20.0)
    assert headers[2].pixel_spacing_mm == (0.8, 0.9)
    assert headers[2].rescale_intercept == -4094.0
    stored = [np.full((6, 5), 2048, dtype=np.uint16) for _ in headers]
    volume = assemble(list(zip(headers, stored, strict=True)))
    # Sagittal, head up: row to the back, column to the feet, so the normal points to the right (negative x).
    assert np.allclose(volume.direction[0], [-1, 0, 0])
    assert volume.voxels[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert volume.spacing_mm == pytest.approx((3.3, 0.8, 0.9))
    assert [frame.frame_number for frame in volume.frames] == [1, 2, 3, 4]


def test_two_time_points_in_one_enhanced_image_are_refused_with_the_dimension() -> None:
    dataset = _enhanced()
    for frame in list(dataset.PerFrameFunctionalGroupsSequence):
        later = copy.deepcopy(frame)
        later.FrameContentSequence[0].TemporalPositionIndex = 2
        dataset.PerFrameFunctionalGroupsSequence.append(later)
    dataset.NumberOfFrames = 8
    headers = frame_headers(dataset)
    with pytest.raises(VolumeRefused, match="TemporalPositionIndex"):
        assemble([(header, np.zeros((6, 5), dtype=np.int16)) for header in headers])


def test_a_dose_grid_has_positions_by_offset_and_values_in_gray() -> None:
    dataset = _read("rtdose.dcm")
    dataset.DoseUnits = "GY"
    headers = frame_headers(dataset)
    volume = assemble(list(zip(headers, dataset.pixel_array, strict=True)))
    offsets = [float(value) for value in dataset.GridFrameOffsetVector]
    assert volume.spacing_mm[0] == pytest.approx(abs(offsets[1] - offsets[0]))
    assert volume.voxels.max() == pytest.approx(dataset.pixel_array.max() * float(dataset.DoseGridScaling), rel=1e-6)
    assert volume.units == "Gy"


def test_a_dose_grid_with_absolute_offsets_has_the_same_positions() -> None:
    relative, absolute = _read("rtdose.dcm"), _read("rtdose.dcm")
    first = float(absolute.ImagePositionPatient[2]) or 7.0
    relative.ImagePositionPatient[2] = absolute.ImagePositionPatient[2] = first
    absolute.GridFrameOffsetVector = [float(value) + first for value in relative.GridFrameOffsetVector]
    assert np.allclose(
        [header.position_mm for header in frame_headers(relative)],
        [header.position_mm for header in frame_headers(absolute)],
    )
    absolute.GridFrameOffsetVector = [float(value) + first + 1 for value in relative.GridFrameOffsetVector]
    with pytest.raises(VolumeRefused, match="starts neither"):
        frame_headers(absolute)


def test_reconstructed_nuclear_medicine_steps_along_the_normal() -> None:
    dataset = _item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.20",
        SOPInstanceUID="1.2.3",
        Modality="NM",
        NumberOfFrames=3,
        Rows=2,
        Columns=2,
        PixelSpacing=[4, 4],
        SpacingBetweenSlices=-4,
    )
    dataset.DetectorInformationSequence = [
        _item(ImagePositionPatient=[1, 2, 3], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    ]
    assert [header.position_mm[2] for header in frame_headers(dataset)] == [3.0, -1.0, -5.0]


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"])
@pytest.mark.parametrize("value", [None, "delete"])
def test_absent_and_empty_geometry_is_refused_with_its_tag(keyword: str, value: str | None) -> None:
    dataset = _read("CT_small.dcm")
    if value is None:
        setattr(dataset, keyword, None)
    else:
        del dataset[keyword]
    with pytest.raises(VolumeRefused) as told:
        frame_headers(dataset)
    assert told.value.metadata["rule"] == "missing_geometry"
    assert told.value.metadata["attribute"] == keyword
    assert dataset.SOPInstanceUID in told.value.where


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", [1, 2]),
        ("ImageOrientationPatient", [1, 0, 0]),
        ("PixelSpacing", [0, 0]),
        ("PixelSpacing", [-1, 1]),
        ("PixelSpacing", [1]),
        ("Rows", 0),
        ("NumberOfFrames", 2**31 - 1),
        ("NumberOfFrames", -1),
    ],
)
def test_wrong_geometry_is_refused(keyword: str, value: Any) -> None:
    dataset = _read("CT_small.dcm")
    setattr(dataset, keyword, value)
    with pytest.raises(VolumeRefused) as told:
        frame_headers(dataset)
    assert told.value.metadata["rule"] == "invalid_geometry"


def test_a_decimal_comma_and_not_a_number_are_refused(tmp_path: Path) -> None:
    dataset = _read("CT_small.dcm")
    file = tmp_path / "image.dcm"
    dataset.save_as(file)
    content = file.read_bytes()
    for wrong in (b"0,661468\\0,661468", b"NaN\\0.6614680000"):
        file.write_bytes(content.replace(b"0.661468\\0.661468", wrong))
        with pytest.raises(VolumeRefused, match="PixelSpacing"):
            frame_headers(dcmread(file))


def test_an_enhanced_image_without_a_position_names_the_frame() -> None:
    dataset = _enhanced()
    del dataset.PerFrameFunctionalGroupsSequence[2]["PlanePositionSequence"]
    with pytest.raises(VolumeRefused, match="frame 3"):
        frame_headers(dataset)


def test_a_number_of_frames_that_contradicts_the_groups_is_refused() -> None:
    dataset = _enhanced()
    dataset.NumberOfFrames = 5
    with pytest.raises(VolumeRefused, match="4 frames are described"):
        frame_headers(dataset)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"SamplesPerPixel": 3}, "colour"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        ({"ModalityLUTSequence": [Dataset()]}, "modality_lut"),
        ({"NumberOfFrames": 5}, "missing_geometry"),
    ],
)
def test_images_of_other_kinds_are_refused(changes: dict[str, Any], rule: str) -> None:
    dataset = _read("CT_small.dcm")
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    with pytest.raises(VolumeRefused) as told:
        frame_headers(dataset)
    assert told.value.metadata["rule"] == rule


def test_an_empty_data_set_is_refused_and_does_not_crash() -> None:
    with pytest.raises(VolumeRefused, match="ImagePositionPatient is missing"):
        frame_headers(Dataset())


def test_every_file_of_the_pydicom_wheel_gives_headers_or_a_reason() -> None:
    understood, reasons = 0, []
    for file in sorted(Path(str(get_testdata_file("CT_small.dcm", download=False))).parent.glob("*.dcm")):
        try:
            dataset = dcmread(str(file), stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, NotImplementedError):
            continue
        try:
            understood += len(frame_headers(dataset)) > 0
        except VolumeRefused as refusal:
            reasons.append((refusal.metadata["rule"], refusal.hint))
    assert understood >= 10
    assert len(reasons) >= 10
    assert all(rule and hint for rule, hint in reasons)


def test_the_phantom_comes_back_from_its_files_as_it_was() -> None:
    volume, _ = ct_chest_phantom(spacing_mm=(9.0, 5.0, 4.0))
    frames = [
        (frame_headers(dataset)[0], np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns))
        for dataset in phantom_datasets(volume)
    ]
    again = assemble(frames)
    assert np.array_equal(again.voxels, volume.voxels)
    assert again.voxels.dtype == np.int16
    assert np.allclose(again.affine, volume.affine)
    assert again.frames == volume.frames
    assert again.units == volume.units
    assert again.attributes.items() >= {"ConvolutionKernel": "SOFT", "BodyPartExamined": "CHEST"}.items()


@pytest.mark.parametrize(
    ("modality", "rescale_type", "units", "dose", "expected"),
    [
        ("CT", "", "", "", "[hnsf'U]"),
        ("CT", "HU", "", "", "[hnsf'U]"),
        ("CT", "US", "", "", "1"),
        ("MR", "", "", "", "1"),
        ("PT", "", "BQML", "", "Bq/mL"),
        ("PT", "", "odd", "", "1"),
        ("RTDOSE", "DOSE", "", "GY", "Gy"),
        ("RTDOSE", "DOSE", "", "RELATIVE", "1"),
    ],
)
def test_units_are_ucum(modality: str, rescale_type: str, units: str, dose: str, expected: str) -> None:
    assert value_units(modality, rescale_type, units, dose) == expected


@pytest.mark.parametrize(
    ("keyword", "written"), [("RescaleSlope", "0"), ("RescaleSlope", "NaN"), ("RescaleIntercept", "NaN")]
)
def test_a_rescale_that_is_no_number_is_refused(keyword: str, written: str) -> None:
    dataset = _read("CT_small.dcm")
    tag = Tag(tag_for_keyword(keyword) or 0)
    dataset._dict[tag] = RawDataElement(tag, "DS", len(written), written.encode(), 0, False, True)
    with pytest.raises(VolumeRefused) as caught:
        frame_headers(dataset)
    assert caught.value.metadata["rule"] == "invalid_rescale"
    assert caught.value.metadata["attribute"] == keyword


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_ct_image_without_rescale_holds_no_hounsfield_units(keyword: str) -> None:
    dataset = _read("CT_small.dcm")
    delattr(dataset, keyword)
    (header,) = frame_headers(dataset)
    assert header.units == "1"


def test_a_ct_localizer_is_no_slice() -> None:
    dataset = _read("CT_small.dcm")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    with pytest.raises(VolumeRefused, match="projection"):
        frame_headers(dataset)


def test_a_pixel_spacing_in_micrometres_is_refused() -> None:
    dataset = _read("CT_small.dcm")
    dataset.PixelSpacing = [661.468, 661.468]
    with pytest.raises(VolumeRefused, match="m large") as caught:
        frame_headers(dataset)
    assert caught.value.metadata["attribute"] == "PixelSpacing"


@pytest.mark.parametrize(("vr", "written"), [("SS", -2000), ("US", 63536)])
def test_padding_has_the_sign_of_the_pixels_however_its_header_writes_it(vr: str, written: int) -> None:
    volume, _ = ct_chest_phantom(spacing_mm=(20.0, 8.0, 8.0))
    dataset = next(iter(phantom_datasets(volume)))
    dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, 1, -1024
    dataset.add_new("PixelPaddingValue", vr, written)
    (header,) = frame_headers(dataset)
    assert header.padding_value == -3024
