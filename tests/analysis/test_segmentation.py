"""Segmentations: valid, the same bytes each time, and in the right place when read back."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from analysis_svc import concepts
from analysis_svc.measurement import Mask
from analysis_svc.models.lesion_measurement import LesionMeasurement
from analysis_svc.models.lung_emphysema import LungEmphysema
from analysis_svc.segmentation import SegmentationMaker, segment_numbers, segmentation
from imaging.derived.deterministic import part10_bytes
from imaging.dicom.uid import derived_uid
from imaging.errors import FailedPrecondition, InvalidArgument
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.volume import SourceFrame, Volume
from tests.analysis.chest import chest, hounsfield_volume, seen_from, silent

MAKER = SegmentationMaker("test-model", "1.0", ("digest", "test-model", "1.0", "{}"), datetime(2031, 5, 6, tzinfo=UTC))


def _mask(label: str, voxels: NDArray[np.bool_]) -> Mask:
    return Mask(label, voxels, concepts.ABNORMAL_STRUCTURE, concepts.LESION, concepts.LUNG, (230, 60, 60), label)


def _small() -> tuple[Volume, list[Dataset]]:
    """A few slices of the phantom with their headers, from the head down as they are sent."""
    volume, _ = chest()
    headers = list(phantom_datasets(volume))
    for header in headers:
        del header.PixelData
    return volume, headers


def _read_back(dataset: Dataset, volume: Volume, segment: int) -> NDArray[np.bool_]:
    """The mask of a segment by highdicom, in the order of the volume's slices."""
    read = highdicom.seg.segread(BytesIO(part10_bytes(dataset)))
    pixels = read.get_pixels_by_source_instance(
        [frame.sop_instance_uid for frame in volume.frames],
        segment_numbers=[segment],
        assert_missing_frames_are_empty=True,
    )
    return np.asarray(pixels[..., 0] > 0)


def test_masks_come_back_at_the_same_slices() -> None:
    volume, headers = _small()
    first = np.zeros(volume.voxels.shape, dtype=np.bool_)
    first[5:9, 10:20, 30:50] = True
    second = np.zeros_like(first)
    second[8, 15:18, 33:35] = True
    dataset = segmentation([_mask("Lesion 1", first), _mask("Lesion 2", second)], volume, headers, MAKER)
    assert dataset is not None
    assert int(dataset.NumberOfFrames) == 5
    assert np.array_equal(_read_back(dataset, volume, 1), first)
    assert np.array_equal(_read_back(dataset, volume, 2), second)


@pytest.mark.parametrize("upside_down", [False, True])
def test_each_frame_has_the_place_of_its_source(upside_down: bool) -> None:
    volume, headers = _small()
    if upside_down:
        flipped = seen_from(volume, (0, 1, 2), (True, False, False))
        volume = Volume(
            **{
                name: tuple(reversed(volume.frames)) if name == "frames" else getattr(flipped, name)
                for name in Volume.__slots__
            }
        )
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    mask[3, 4, 5] = mask[7, 8, 9] = True
    dataset = segmentation([_mask("Lesion 1", mask)], volume, headers, MAKER)
    assert dataset is not None
    sources = {str(header.SOPInstanceUID): header for header in headers}
    frames = np.reshape(highdicom.seg.segread(BytesIO(part10_bytes(dataset))).pixel_array, (2, *mask.shape[1:]))
    found = set()
    for groups, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert list(position) == list(sources[reference].ImagePositionPatient)
        index = [frame.sop_instance_uid for frame in volume.frames].index(reference)
        found.add((index, *(int(place) for place in np.argwhere(pixels)[0])))
    assert found == {(3, 4, 5), (7, 8, 9)}


def test_the_same_masks_give_the_same_bytes_in_any_order_of_headers() -> None:
    volume, headers = _small()
    mask = volume.voxels > 200
    first = segmentation([_mask("Bone", mask)], volume, headers, MAKER)
    second = segmentation([_mask("Bone", mask.copy())], volume, headers[::-1], MAKER)
    assert first is not None
    assert second is not None
    assert part10_bytes(first) == part10_bytes(second)
    assert first.SOPInstanceUID == MAKER.sop_instance_uid
    assert first.SegmentSequence[0].TrackingUID == MAKER.tracking_uid("Bone")


def test_frames_of_a_multi_frame_source_go_where_the_file_has_them() -> None:
    source = _multi_frame(6)
    volume = hounsfield_volume(np.zeros((6, 8, 10), dtype=np.int16), (2.0, 1.0, 1.0))
    # The volume runs against the order of the frames in the file.
    frames = tuple(SourceFrame("1.2.77", str(source.SOPClassUID), number) for number in range(6, 0, -1))
    volume = Volume(**{name: getattr(volume, name) for name in Volume.__slots__ if name != "frames"}, frames=frames)
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    mask[0, 2, 3] = True
    dataset = segmentation([_mask("Lesion 1", mask)], volume, [source], MAKER)
    assert dataset is not None
    groups = dataset.PerFrameFunctionalGroupsSequence[0]
    reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
    assert reference.ReferencedFrameNumber == 6
    assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == [0, 0, 10]


def test_two_multi_frame_sources_are_refused_with_the_reason() -> None:
    first, second = _multi_frame(2), _multi_frame(2)
    second.SOPInstanceUID = "1.2.78"
    volume = hounsfield_volume(np.zeros((2, 8, 10), dtype=np.int16))
    mask = np.ones(volume.voxels.shape, dtype=np.bool_)
    with pytest.raises(FailedPrecondition, match="multi-frame"):
        segmentation([_mask("Lesion 1", mask)], volume, [first, second], MAKER)


def test_empty_masks_make_no_segment_and_no_object() -> None:
    volume, headers = _small()
    empty = _mask("Lesion 1", np.zeros(volume.voxels.shape, dtype=np.bool_))
    full = _mask("Lesion 2", volume.voxels > 200)
    assert segmentation([empty], volume, headers, MAKER) is None
    assert segment_numbers([empty, full]) == {"Lesion 2": 1}
    dataset = segmentation([empty, full], volume, headers, MAKER)
    assert dataset is not None
    assert [item.SegmentLabel for item in dataset.SegmentSequence] == ["Lesion 2"]


def test_wrong_masks_are_refused() -> None:
    volume, headers = _small()
    mask = volume.voxels > 200
    with pytest.raises(InvalidArgument, match="shape"):
        segmentation([_mask("Lesion 1", mask[1:])], volume, headers, MAKER)
    with pytest.raises(InvalidArgument, match="labels"):
        segmentation([_mask("Lesion 1", mask), _mask("Lesion 1", mask)], volume, headers, MAKER)


def test_headers_that_leave_out_what_may_be_empty_are_completed() -> None:
    volume, headers = _small()
    for header in headers:
        del header.PatientBirthDate, header.StudyID, header.PositionReferenceIndicator
    dataset = segmentation([_mask("Bone", volume.voxels > 200)], volume, headers, MAKER)
    assert dataset is not None
    assert not dataset.StudyID
    assert "StudyID" not in headers[0]


def test_images_without_a_frame_of_reference_get_one_of_their_series() -> None:
    volume, headers = _small()
    for header in headers:
        del header.FrameOfReferenceUID
    mask = volume.voxels > 200
    dataset = segmentation([_mask("Bone", mask)], volume, headers, MAKER)
    assert dataset is not None
    assert dataset.FrameOfReferenceUID == derived_uid("frame of reference", volume.series_instance_uid)
    assert np.array_equal(_read_back(dataset, volume, 1), mask)


def test_headers_without_a_study_are_refused_with_the_reason() -> None:
    volume, headers = _small()
    for header in headers:
        del header.StudyInstanceUID
    with pytest.raises(FailedPrecondition, match="lack"):
        segmentation([_mask("Bone", volume.voxels > 200)], volume, headers, MAKER)


@pytest.mark.parametrize(
    ("keyword", "written"),
    [
        ("PatientBirthDate", b"1950/1/1"),
        ("PatientSex", b"female"),
        ("PatientWeight", b"70,5"),
        ("PatientName", b"\xff\xfe\x1b$B^"),
        ("StudyDate", b"20240230"),
        ("StudyTime", b"246060"),
        ("SpecificCharacterSet", b"FOO_BAR"),
        ("SliceThickness", b""),
    ],
)
def test_a_dirty_header_does_not_cost_the_segmentation(keyword: str, written: bytes) -> None:
    volume, headers = _small()
    tag = Tag(tag_for_keyword(keyword) or 0)
    for header in headers:
        header._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(written), written, 0, False, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, about what is tried here
        mask = volume.voxels > 200
        dataset = segmentation([_mask("Bone", mask)], volume, headers, MAKER)
        assert dataset is not None
        assert np.array_equal(_read_back(dataset, volume, 1), mask)
        assert keyword in {"SpecificCharacterSet", "SliceThickness", "PatientName"} or not dataset.get(keyword)
    assert dataset.PatientID == "PHANTOM-CHEST"


def test_a_name_in_an_old_encoding_stays_the_same_name() -> None:
    volume, headers = _small()
    for header in headers:
        header.SpecificCharacterSet = "ISO_IR 144"
        header.PatientName = "Люкceмбypг"
    written = [dcmread(BytesIO(part10_bytes(header))) for header in headers]
    dataset = segmentation([_mask("Bone", volume.voxels > 200)], volume, written, MAKER)
    assert dataset is not None
    assert str(dcmread(BytesIO(part10_bytes(dataset))).PatientName) == "Люкceмбypг"


@pytest.mark.peers
@pytest.mark.parametrize("model", [LungEmphysema(), LesionMeasurement()])
def test_dciodvfy_finds_no_error(model: LungEmphysema | LesionMeasurement, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    volume, headers = _small()
    parameters = model.Parameters()
    masks = model.analyze(volume, parameters, silent).masks  # type: ignore[arg-type] # each model has its own class
    dataset = segmentation(masks, volume, headers, MAKER)
    assert dataset is not None
    file = tmp_path / "segmentation.dcm"
    file.write_bytes(part10_bytes(dataset))
    told = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)
    assert "Error" not in told.stderr + told.stdout
    assert dcmread(file).SegmentationType == "BINARY"


def _multi_frame(count: int) -> Dataset:
    """The header of an enhanced CT with frames 2 mm apart, from the feet up."""
    (dataset,) = list(phantom_datasets(chest()[0]))[:1]
    del dataset.PixelData
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.77"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = count, 8, 10
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 2
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for index in range(count):
        position, groups = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 2 * index]
        groups.PlanePositionSequence = [position]
        dataset.PerFrameFunctionalGroupsSequence.append(groups)
    return dataset
