"""Key images show the right frame, and the segmentation at its right place."""

from __future__ import annotations

import io

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from imaging.errors import InvalidDicom
from reporting_svc.content.finding_groups import group_findings
from reporting_svc.key_images.choice import choose_key_images
from reporting_svc.key_images.image_plane import ImagePlane
from reporting_svc.key_images.picture import Layer, draw_key_image
from reporting_svc.key_images.segmentation_index import Segment, SegmentationIndex
from tests.reporting.sample_report import ML, SEG_UID, VOLUME, finding, frame, sample_content

RED = Segment(1, "Lesion", (255, 0, 0))


def _slice(index: int, *, z_mm: float, size: int = 23, spacing_mm: tuple[float, float] = (2.0, 2.0)) -> Dataset:
    """A CT slice of air; 23 x 23 pixels of one bit do not fill whole bytes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"1.2.3.{index}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.FrameOfReferenceUID = "1.2.3.5"
    dataset.PatientName = dataset.PatientID = dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate = dataset.StudyTime = dataset.StudyID = dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.Modality = "CT"
    dataset.InstanceNumber = index
    dataset.Rows, dataset.Columns = size, size
    dataset.PixelSpacing = list(spacing_mm)
    dataset.SliceThickness = 1.0
    dataset.ImagePositionPatient = [10.0, 20.0, z_mm]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = np.full((size, size), -1000, dtype="<i2").tobytes()
    return dataset


def _segmentation(images: list[Dataset], masks: NDArray[np.uint8]) -> Dataset:
    """Masks of shape (images, rows, columns, segments) as highdicom writes them."""
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Thing {number}",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Lung,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in range(1, masks.shape[-1] + 1)
    ]
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=masks,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid="2.25.1",
        series_number=1,
        sop_instance_uid="2.25.2",
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Test",
        software_versions="1",
        device_serial_number="1",
        content_creator_name="Test^Test",
    )


@pytest.mark.parametrize("flipped", [False, True], ids=["upwards", "downwards"])
def test_each_mask_is_found_over_the_slice_that_it_was_drawn_on(flipped: bool) -> None:
    heights = [0.0, 5.0, 10.0][:: -1 if flipped else 1]
    images = [_slice(number, z_mm=z) for number, z in enumerate(heights, start=1)]
    masks = np.zeros((3, 23, 23, 2), dtype=np.uint8)
    masks[0, 2:5, 3:7, 0] = 1
    masks[2, 10:20, 11:12, 1] = 1
    made = _segmentation(images, masks)
    index = SegmentationIndex(made)
    stored = made.pixel_array
    for number, image in enumerate(images):
        for mask in index.masks_over(image, 1):
            expected = masks[number, :, :, mask.segment.number - 1]
            assert np.array_equal(stored[mask.frame_number - 1], expected)
    found = [[mask.segment.number for mask in index.masks_over(image, 1)] for image in images]
    assert found == [[1], [], [2]]
    assert index.segments[2].label == "Thing 2"


def test_a_slice_that_is_not_named_is_found_by_its_place() -> None:
    images = [_slice(number, z_mm=5.0 * number) for number in (1, 2)]
    masks = np.zeros((2, 23, 23, 1), dtype=np.uint8)
    masks[1, 4, 4, 0] = 1
    index = SegmentationIndex(_segmentation(images, masks))
    stranger = _slice(2, z_mm=10.0)
    stranger.SOPInstanceUID = "1.2.3.99"
    assert [mask.segment.number for mask in index.masks_over(stranger, 1)] == [1]
    stranger.ImagePositionPatient = [10.0, 20.0, 11.0]
    assert index.masks_over(stranger, 1) == []
    turned = _slice(2, z_mm=10.0)
    turned.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    assert index.masks_over(turned, 1) == []


def test_what_is_no_segmentation_is_refused() -> None:
    with pytest.raises(InvalidDicom, match="lacks what it must have"):
        SegmentationIndex(_slice(1, z_mm=0.0))


def _pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_mask_is_painted_where_its_pixels_are() -> None:
    image = _slice(1, z_mm=0.0, size=64)
    mask = np.zeros((64, 64), dtype=bool)
    mask[8:24, 40:56] = True
    picture = draw_key_image(
        image.pixel_array, image, frame_number=1, window=(40.0, 400.0), layers=[Layer(mask, RED)], lines_mm=[]
    )
    pixels = _pixels(picture.png)
    assert pixels.shape == (512, 512, 3)
    reddish = pixels[..., 0].astype(int) - pixels[..., 1] > 40
    rows, columns = np.flatnonzero(reddish.any(axis=1)), np.flatnonzero(reddish.any(axis=0))
    assert (rows[0], rows[-1]) == (64, 191)
    assert (columns[0], columns[-1]) == (320, 447)
    assert picture.drawn == (RED,)


def test_pixels_that_are_no_squares_are_shown_in_true_proportion() -> None:
    image = _slice(1, z_mm=0.0, size=64, spacing_mm=(4.0, 2.0))
    picture = draw_key_image(image.pixel_array, image, frame_number=1, window=None, layers=[], lines_mm=[])
    assert (picture.width, picture.height) == (256, 512)


def test_a_small_thing_is_shown_larger_in_the_far_corner() -> None:
    image = _slice(1, z_mm=0.0, size=64)
    mask = np.zeros((64, 64), dtype=bool)
    mask[50:53, 8:11] = True
    plain, larger = (
        _pixels(
            draw_key_image(
                image.pixel_array, image, frame_number=1, window=None, layers=[Layer(mask, RED, focus)], lines_mm=[]
            ).png
        )
        for focus in (False, True)
    )
    reddish = [p[..., 0].astype(int) - p[..., 1] > 40 for p in (plain, larger)]
    assert not reddish[0][:256, 256:].any()
    assert reddish[1][:256, 256:].sum() > 4 * reddish[0].sum()


def test_the_same_frame_gives_the_same_bytes() -> None:
    image = _slice(1, z_mm=0.0)
    first, second = (
        draw_key_image(image.pixel_array, image, frame_number=1, window=None, layers=[], lines_mm=[]) for _ in "ab"
    )
    assert first == second


def test_the_ends_of_an_axis_land_on_their_pixels() -> None:
    plane = ImagePlane.of(_slice(1, z_mm=7.0), 1)
    assert plane is not None
    assert plane.line_in_image((14.0, 20.0, 7.0, 10.0, 30.0, 7.5)) == ((2.0, 0.0), (0.0, 5.0))
    assert plane.line_in_image((14.0, 20.0, 7.0, 10.0, 30.0, 70.0)) is None


def test_each_model_gives_a_key_image_in_turn_and_segmented_frames_come_first() -> None:
    groups = sample_content().groups
    wishes = choose_key_images(groups, 6)
    assert [wish.title for wish in wishes] == ["Lungs, Left lung and 2 more", "Lesion 1"]
    assert all(wish.segmentations == (SEG_UID,) for wish in wishes)
    plain = [finding(f"Image {n}", VOLUME, 1.0, ML, frames=[frame(n)]) for n in range(1, 10)]
    assert len(choose_key_images(group_findings(plain, {}), 6)) == 6
    assert choose_key_images(group_findings([finding("A", VOLUME, 1.0, ML)], {}), 6) == ()


def test_of_many_frames_the_middle_one_is_shown() -> None:
    many = [finding("A", VOLUME, 1.0, ML, frames=[frame(n) for n in range(1, 8)])]
    (wish,) = choose_key_images(group_findings(many, {}), 6)
    assert wish.frame.sop_instance_uid.endswith(".4")


def test_models_without_masks_share_the_image_of_a_frame() -> None:
    first, second = (finding(name, VOLUME, 1.0, ML, frames=[frame(3)]) for name in ("A", "B"))
    second.model = "other"
    (wish,) = choose_key_images(group_findings([first, second], {}), 6)
    assert wish.title == "A, B"
