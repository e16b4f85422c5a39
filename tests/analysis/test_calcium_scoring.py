"""Agatston score, volume and mass of calcium as computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis_svc.calcium.calcium_score import calcium_score
from analysis_svc.measurement import Analysis, Refusal
from analysis_svc.models.calcium_scoring import CalciumScoring
from analysis_svc.regions.region import Region, SegmentedVolume
from imaging.errors import MeasurementRefused
from imaging.volume.volume import Volume
from tests.analysis.chest import hounsfield_volume, silent

MODEL = CalciumScoring()
BLOOD_HU = 45
CALIBRATION = 0.8


def _phantom(slice_mm: float = 3.0) -> Volume:
    """Lesions in blood, 0.5 mm pixels (4 of them are 1 mm2), in six slices."""
    voxels = np.full((6, 40, 40), BLOOD_HU, dtype=np.int16)
    voxels[0, 2:4, 2:4] = 150  # 1 mm2, weight 1: 1
    voxels[1, 10:13, 10:14] = 210  # 3 mm2
    voxels[1, 11, 11] = 250  # its maximum, weight 2: 6
    voxels[2, 20:23, 20] = 500  # 0.75 mm2: too small
    voxels[3:5, 5:7, 30:34] = 400  # 2 mm2 in two slices, weight 4: 16
    voxels[5, 30, 30] = voxels[5, 31, 31] = voxels[5, 30, 32] = voxels[5, 31, 33] = (
        399  # corners touch: 1 mm2, weight 3
    )
    voxels[5, 5:9, 5:9] = 129  # not dense enough
    volume = hounsfield_volume(voxels, (slice_mm, 0.5, 0.5))
    return replace(volume, attributes={"KVP": "120", "ConvolutionKernel": "STANDARD"})


AGATSTON = 1 + 6 + 16 + 3
VOXELS = 4 + 12 + 16 + 4
HU_SUM = 4 * 150 + 11 * 210 + 250 + 16 * 400 + 4 * 399


def _regions(volume: Volume) -> tuple[Region, ...]:
    """The left and the right half."""
    whole = slice(0, volume.voxels.shape[0])
    mask = np.ones((volume.voxels.shape[0], 40, 20), dtype=np.bool_)
    return (
        Region("Right coronary", (whole, slice(0, 40), slice(0, 20)), mask),
        Region("Left coronary", (whole, slice(0, 40), slice(20, 40)), mask),
    )


def _analyze(volume: Volume, regions: tuple[Region, ...] | None = None, **parameters: object) -> Analysis:
    segmented = SegmentedVolume(volume, _regions(volume) if regions is None else regions)
    return MODEL.analyze(segmented, MODEL.Parameters(**parameters), silent)  # type: ignore[arg-type] # checked


def _values(analysis: Analysis) -> dict[tuple[str, str], float]:
    return {
        (item.tracking_identifier, item.concept.meaning): item.value
        for item in analysis.measurements
        if item.value is not None
    }


@pytest.mark.parametrize("slice_mm", [3.0, 1.5, 2.5])
def test_the_score_is_that_by_hand_and_counts_slices_by_their_part_of_three_millimetres(slice_mm: float) -> None:
    volume = _phantom(slice_mm)
    score = calcium_score(volume.voxels, np.ones(volume.voxels.shape, dtype=np.bool_), volume.spacing_mm)
    assert score.agatston == pytest.approx(AGATSTON * slice_mm / 3)
    assert score.volume_mm3 == pytest.approx(VOXELS * 0.25 * slice_mm)
    assert score.mean_hu == pytest.approx(HU_SUM / VOXELS)
    assert score.lesion_sections == 5


def test_the_model_tells_each_region_and_all_with_a_segmentation() -> None:
    analysis = _analyze(_phantom(), calibration_mg_per_ml_hu=CALIBRATION)
    told = _values(analysis)
    assert told["Calcium in all", "Calcium score"] == pytest.approx(AGATSTON)
    assert told["Right coronary", "Calcium score"] == pytest.approx(7)
    assert told["Left coronary", "Calcium score"] == pytest.approx(19)
    assert told["Calcium in all", "Calcium Volume"] == pytest.approx(VOXELS * 0.75)
    assert told["Calcium in all", "Calcium Mass"] == pytest.approx(CALIBRATION * HU_SUM * 0.75 / 1000)
    (mask,) = analysis.masks
    assert mask.voxels.sum() == VOXELS
    assert all("RESEARCH_USE" in {flag.code for flag in item.quality_flags} for item in analysis.measurements)


def test_without_calibration_no_mass_is_told() -> None:
    assert "Calcium Mass" not in {concept for _, concept in _values(_analyze(_phantom()))}


def test_what_two_regions_share_counts_once() -> None:
    volume = _phantom()
    first, second = _regions(volume)
    everything = Region("All", (first.box[0], first.box[1], slice(0, 40)), np.ones((6, 40, 40), dtype=np.bool_))
    told = _values(_analyze(volume, (first, everything)))
    assert told["All", "Calcium score"] == pytest.approx(19)
    assert told["Calcium in all", "Calcium score"] == pytest.approx(AGATSTON)
    assert second.label == "Left coronary"


def test_a_heart_without_calcium_scores_zero() -> None:
    volume = _phantom()
    analysis = _analyze(replace(volume, voxels=np.full_like(volume.voxels, BLOOD_HU)))
    assert set(_values(analysis).values()) == {0.0}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"attributes": {"KVP": "100"}}, "TUBE_VOLTAGE"),
        ({"attributes": {}}, "TUBE_VOLTAGE"),
        ({"attributes": {"KVP": "120", "ContrastBolusAgent": "Iohexol"}}, "CONTRAST_AGENT"),
        ({"slice_thickness_mm": 5.0}, "THICK_SLICES"),
        ({"units": "1"}, "NOT_HOUNSFIELD"),
        ({"direction": np.eye(3)}, "NOT_AXIAL"),
    ],
)
def test_an_acquisition_that_the_score_is_not_defined_for_is_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze(replace(_phantom(), **change))  # type: ignore[arg-type] # of the table above
    assert refused.value.metadata["rule"] == rule


def test_without_regions_nothing_is_looked_for() -> None:
    with pytest.raises(MeasurementRefused, match="Nobody has drawn"):
        _analyze(_phantom(), ())


def test_a_region_that_cannot_be_laid_over_the_images_makes_the_total_incomplete() -> None:
    volume = _phantom()
    refusal = Refusal("ROI 3 of structure set 1.2", "OFF_SLICE", "A plane lies between", "Draw it on the images.")
    analysis = MODEL.analyze(SegmentedVolume(volume, _regions(volume), refusals=(refusal,)), MODEL.Parameters(), silent)
    assert analysis.refusals == (refusal,)
    assert "INCOMPLETE" in {flag.code for flag in analysis.measurements[0].quality_flags}
    alone = MODEL.analyze(SegmentedVolume(volume, (), refusals=(refusal,)), MODEL.Parameters(), silent)
    assert alone.measurements == ()


def test_a_region_that_holds_padding_is_refused_and_makes_the_total_incomplete() -> None:
    volume = _phantom()
    volume.voxels[1, 39, 39] = 3000
    volume = replace(volume, attributes={**volume.attributes, "PixelPaddingValue": "3000"})
    analysis = _analyze(volume)
    assert [refusal.rule for refusal in analysis.refusals] == ["NOT_IMAGED"]
    assert {item.tracking_identifier for item in analysis.measurements} == {"Right coronary", "Calcium in all"}
    assert "INCOMPLETE" in {flag.code for flag in analysis.measurements[0].quality_flags}


def test_another_tube_voltage_may_be_allowed_and_is_flagged() -> None:
    analysis = _analyze(replace(_phantom(1.0), attributes={"KVP": "100"}), allow_any_tube_voltage=True)
    assert {"TUBE_VOLTAGE", "SLICE_THICKNESS"} <= {flag.code for flag in analysis.measurements[0].quality_flags}
