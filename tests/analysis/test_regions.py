"""Drawn regions on the grid of a volume: where they lie, and when they are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from analysis_svc.measurement import Refusal
from analysis_svc.regions.region import Region
from analysis_svc.regions.segmentation_regions import SegmentationRegions
from analysis_svc.regions.structure_set_regions import structure_set_regions
from imaging.derived.deterministic import part10_bytes
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.volume import Volume
from tests.analysis.chest import chest
from tests.analysis.drawings import circles, drawn_label_map, drawn_segmentation, structure_set

RADIUS_MM = 40.0


def _segments(dataset: Dataset, volume: Volume) -> tuple[list[Region], list[Refusal]]:
    pixels = dcmread(BytesIO(part10_bytes(dataset))).pixel_array
    gathered = SegmentationRegions(dataset, volume)
    for number, frame in enumerate(pixels.reshape(-1, *pixels.shape[-2:]), start=1):
        gathered.add(number, frame)
    return gathered.regions()


def _whole(region: Region, volume: Volume) -> NDArray[np.bool_]:
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    mask[region.box] = region.mask
    return mask


def _two_masks(volume: Volume) -> dict[str, NDArray[np.bool_]]:
    first = np.zeros(volume.voxels.shape, dtype=np.bool_)
    first[5:9, 10:20, 30:50] = True
    first[7, 12, 33] = False
    second = np.zeros_like(first)
    second[8, 15:18, 33:35] = True
    return {"One": first, "Two": second}


def test_segments_come_back_voxel_for_voxel() -> None:
    volume, _ = chest()
    masks = _two_masks(volume)
    regions, refusals = _segments(drawn_segmentation(masks, volume), volume)
    assert refusals == []
    assert [region.label for region in regions] == ["One", "Two"]
    for region in regions:
        assert np.array_equal(_whole(region, volume), masks[region.label])
        assert region.finding_type.meaning == "Lesion"
    assert regions[0].segment is not None
    assert regions[0].segment.segment_number == 1


def test_of_a_label_map_the_background_is_no_region() -> None:
    volume, _ = chest()
    masks = _two_masks(volume)
    masks["One"] &= ~masks["Two"]
    regions, refusals = _segments(drawn_label_map(masks, volume), volume)
    assert refusals == []
    assert [region.label for region in regions] == ["One", "Two"]
    for region in regions:
        assert np.array_equal(_whole(region, volume), masks[region.label])


def _moved(dataset: Dataset, step_mm: tuple[float, float, float]) -> None:
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        position = groups.PlanePositionSequence[0]
        position.ImagePositionPatient = [
            float(a) + b for a, b in zip(position.ImagePositionPatient, step_mm, strict=True)
        ]


def _other_spacing(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1.0, 1.0]


def _turned(dataset: Dataset) -> None:
    orientation = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def _without_place(dataset: Dataset) -> None:
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        del groups.PlanePositionSequence


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda dataset: _moved(dataset, (1.0, 0, 0)), "OTHER_GRID"),
        (lambda dataset: _moved(dataset, (0, 0, 1.0)), "OFF_SLICE"),
        (lambda dataset: _moved(dataset, (0, 0, 3000.0)), "OUTSIDE_VOLUME"),
        (_other_spacing, "OTHER_GRID"),
        (_turned, "OTHER_GRID"),
        (_without_place, "MISSING_GEOMETRY"),
    ],
)
def test_a_segmentation_of_another_grid_is_refused(spoil: Callable[[Dataset], None], rule: str) -> None:
    volume, _ = chest()
    dataset = drawn_segmentation(_two_masks(volume), volume)
    spoil(dataset)
    regions, refusals = _segments(dataset, volume)
    assert regions == []
    assert {refusal.rule for refusal in refusals} == {rule}
    assert len(refusals) == 2


def test_a_segment_that_goes_beyond_the_volume_is_not_measured_in_part() -> None:
    volume, _ = chest()
    dataset = drawn_segmentation(_two_masks(volume), volume)
    cut = replace(volume, voxels=volume.voxels[:8], frames=volume.frames[:8])
    regions, refusals = _segments(dataset, cut)
    assert regions == []
    assert {refusal.rule for refusal in refusals} == {"OUTSIDE_VOLUME"}


def test_circles_become_cylinders_and_a_circle_in_a_circle_a_hole() -> None:
    volume, _ = chest()
    outer = circles(volume, range(10, 20), (10.0, 5.0), RADIUS_MM)
    inner = circles(volume, range(10, 20), (10.0, 5.0), RADIUS_MM / 2)
    regions, refusals = structure_set_regions(structure_set({"Full": outer, "Tube": [*outer, *inner]}, volume), volume)
    assert refusals == []
    full, tube = (region.voxel_count * volume.voxel_volume_mm3 for region in regions)
    true = np.pi * RADIUS_MM**2 * 10 * volume.spacing_mm[0]
    assert full == pytest.approx(true, rel=0.005)
    assert tube == pytest.approx(true * 3 / 4, rel=0.005)
    centre = np.argwhere(_whole(regions[0], volume)).mean(axis=0)
    assert volume.to_patient_mm(centre[None])[0][:2] == pytest.approx([10.0, 5.0], abs=0.1)


@pytest.mark.parametrize(
    ("slices", "kind", "rule"),
    [
        ([10.5, 11.5, 12.5], "", "OFF_SLICE"),
        ([10, 12, 14, 16], "", "SLICES_LEFT_OUT"),
        ([10, 11, 4000], "", "OUTSIDE_VOLUME"),
        ([10, 11, 12], "OPEN_PLANAR", "NO_CLOSED_CONTOUR"),
    ],
)
def test_contours_that_are_not_on_the_images_are_refused(slices: list[float], kind: str, rule: str) -> None:
    volume, _ = chest()
    dataset = structure_set({"Odd": circles(volume, slices, (0.0, 0.0), RADIUS_MM)}, volume, kind)
    regions, refusals = structure_set_regions(dataset, volume)
    assert regions == []
    assert [refusal.rule for refusal in refusals] == [rule]
    assert "Odd" not in refusals[0].subject  # a name may tell anything


def test_broken_contours_are_refused_and_the_others_measured() -> None:
    volume, _ = chest()
    dataset = structure_set(
        {name: circles(volume, [10, 11], (0.0, 0.0), RADIUS_MM) for name in ("Short", "Tilted", "Wide", "Good")}, volume
    )
    short, tilted, wide, _ = (item.ContourSequence[0] for item in dataset.ROIContourSequence)
    short.ContourData = short.ContourData[:7]
    tilted.ContourData = [*tilted.ContourData[:-1], float(tilted.ContourData[-1]) + 9]
    wide.ContourData = ["5000", *wide.ContourData[1:]]
    regions, refusals = structure_set_regions(dataset, volume)
    assert [region.label for region in regions] == ["Good"]
    assert [refusal.rule for refusal in refusals] == ["INVALID_CONTOUR", "OFF_SLICE", "OUTSIDE_VOLUME"]


def test_headers_without_anything_give_no_region() -> None:
    volume, _ = chest()
    assert structure_set_regions(Dataset(), volume) == ([], [])
    assert SegmentationRegions(Dataset(), volume).regions() == ([], [])
    assert next(phantom_datasets(volume)).Modality == "CT"
