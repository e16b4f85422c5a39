"""Lung volumes and emphysema measures: the phantom's truth, and every refusal with its reason."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis_svc.anatomy.airways import airways_mask
from analysis_svc.anatomy.body_mask import body_mask
from analysis_svc.anatomy.bowel_gas import bowel_gas
from analysis_svc.anatomy.lung_sides import split_sides
from analysis_svc.measurement import Analysis
from analysis_svc.models.lung_emphysema import LungEmphysema
from imaging.errors import MeasurementRefused
from imaging.volume.volume import Volume
from tests.analysis.chest import COARSE_MM, FINE_MM, QUICK_MM, chest, hounsfield_volume, seen_from, silent

MODEL = LungEmphysema()


def _analyze(volume: Volume, **parameters: object) -> Analysis:
    return MODEL.analyze(volume, MODEL.Parameters(**parameters), silent)  # type: ignore[arg-type] # checked by pydantic


@lru_cache(maxsize=2)
def _of_phantom(spacing_mm: tuple[float, float, float] = COARSE_MM) -> Analysis:
    return _analyze(chest(spacing_mm)[0])


def _numbers(analysis: Analysis) -> dict[tuple[str, str], float]:
    return {
        (item.tracking_identifier, item.concept.meaning): item.value
        for item in analysis.measurements
        if item.value is not None
    }


def _refusal(volume: Volume, **parameters: object) -> str:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze(volume, **parameters)
    assert refused.value.hint
    return refused.value.metadata["rule"]


def _flags(analysis: Analysis) -> set[str]:
    return {flag.code for item in analysis.measurements for flag in item.quality_flags}


@pytest.mark.parametrize("spacing_mm", [COARSE_MM, FINE_MM])
def test_lung_volumes_of_the_phantom_are_within_two_percent(spacing_mm: tuple[float, float, float]) -> None:
    _, truth = chest(spacing_mm)
    measured = _numbers(_of_phantom(spacing_mm))
    assert measured["Lungs", "Volume"] == pytest.approx(truth.lung_volume_mm3 / 1000, rel=0.02)
    assert measured["Right lung", "Volume"] == pytest.approx(truth.right_lung_volume_mm3 / 1000, rel=0.02)
    assert measured["Left lung", "Volume"] == pytest.approx(truth.left_lung_volume_mm3 / 1000, rel=0.02)


@pytest.mark.parametrize("spacing_mm", [COARSE_MM, FINE_MM])
def test_density_measures_of_the_phantom_are_those_of_its_mixture(spacing_mm: tuple[float, float, float]) -> None:
    _, truth = chest(spacing_mm)
    measured = _numbers(_of_phantom(spacing_mm))
    assert measured["Lungs", "Low attenuation area below -950 HU"] == pytest.approx(truth.laa_950_percent, abs=0.5)
    assert measured["Lungs", "15th percentile of lung density"] == pytest.approx(truth.perc15_hu, abs=1.0)


def test_right_is_the_patients_right() -> None:
    volume, _ = chest()
    masks = {mask.label: mask.voxels for mask in _of_phantom().masks}
    columns = volume.origin_mm[0] + np.arange(volume.voxels.shape[2]) * volume.spacing_mm[2]
    assert columns[masks["Right lung"].any(axis=(0, 1))].max() < 0
    assert columns[masks["Left lung"].any(axis=(0, 1))].min() > 0


@settings(max_examples=5, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_way_of_acquisition_changes_no_number(order: list[int], flips: tuple[bool, bool, bool]) -> None:
    volume, _ = chest(QUICK_MM)
    turned = seen_from(volume, (order[0], order[1], order[2]), flips)
    measured = [_numbers(_analyze(each, max_slice_thickness_mm=4.0)) for each in (volume, turned)]
    assert measured[1] == pytest.approx(measured[0], rel=1e-4)


def test_the_trachea_is_found_and_not_part_of_the_lungs() -> None:
    volume, truth = chest(FINE_MM)
    body = body_mask(volume.voxels, volume.spacing_mm)
    air = body & (volume.voxels < -450)
    airways = airways_mask(volume.voxels, air, volume.spacing_mm)
    assert airways.sum() * volume.voxel_volume_mm3 == pytest.approx(truth.trachea_volume_mm3, rel=0.1)
    lungs = np.logical_or.reduce([mask.voxels for mask in _of_phantom(FINE_MM).masks if "lung" in mask.label])
    assert not (lungs & airways).any()


def test_a_trachea_that_opens_into_the_lungs_is_taken_out() -> None:
    volume, truth = chest(FINE_MM)
    voxels = volume.voxels.copy()
    z, y, x = (
        origin + np.arange(count) * step
        for origin, count, step in zip(reversed(volume.origin_mm), voxels.shape, volume.spacing_mm, strict=True)
    )
    bronchi = (np.abs(z - 14)[:, None, None] < 5) & (np.abs(y)[None, :, None] < 5) & (np.abs(x)[None, None, :] < 30)
    voxels[bronchi] = -1000
    numbers = _numbers(_analyze(replace(volume, voxels=voxels)))
    assert numbers["Lungs", "Volume"] == pytest.approx(truth.lung_volume_mm3 / 1000, rel=0.02)


def test_lungs_that_touch_are_parted_in_the_middle() -> None:
    lungs = np.zeros((40, 40, 80), dtype=np.bool_)
    lungs[5:35, 5:35, 5:38] = True
    lungs[5:35, 5:35, 42:75] = True
    lungs[18:22, 18:22, 38:42] = True
    right, left, touching = split_sides(lungs, (2.0, 2.0, 2.0))
    assert touching
    assert np.array_equal(right | left, lungs)
    assert abs(int(right.sum()) - int(left.sum())) < 100
    assert np.flatnonzero(right.any(axis=(0, 1))).max() < 43


def test_thick_slices_are_refused_unless_allowed() -> None:
    volume = replace(chest()[0], slice_thickness_mm=5.0)
    assert _refusal(volume) == "THICK_SLICES"
    assert "SLICES_NOT_THIN" in _flags(_analyze(volume, max_slice_thickness_mm=5.0))


def test_a_sharp_kernel_is_refused_unless_allowed() -> None:
    volume, _ = chest()
    sharp = replace(volume, attributes={**volume.attributes, "ConvolutionKernel": "B70f"})
    assert _refusal(sharp) == "SHARP_KERNEL"
    assert "SHARP_KERNEL" in _flags(_analyze(sharp, allow_sharp_kernel=True))


def test_a_series_without_lungs_is_refused() -> None:
    voxels = np.full((40, 60, 60), -1000, dtype=np.int16)
    voxels[:, 10:50, 10:50] = 40
    assert _refusal(hounsfield_volume(voxels, (2.0, 4.0, 4.0))) == "NO_LUNG"


def test_gas_of_a_bowel_is_no_lung() -> None:
    voxels = np.full((60, 80, 80), -1000, dtype=np.int16)
    voxels[:, 5:75, 5:75] = 40
    voxels[10:50, 20:60, 20:60] = -1000
    assert _refusal(hounsfield_volume(voxels, (2.0, 2.0, 2.0))) == "NO_LUNG"


def test_gas_that_touches_the_lung_is_taken_out_and_a_bulla_is_kept() -> None:
    voxels = np.full((40, 90, 90), 40, dtype=np.int16)
    voxels[5:35, 10:80, 10:40] = -850
    voxels[5:35, 40:44, 40:42] = -850  # a narrow bridge
    voxels[10:30, 30:55, 42:80] = -990  # a stomach
    voxels[12:20, 15:30, 15:30] = -990  # a bulla with a wall
    voxels[11:21, 14:31, 14] = voxels[11:21, 14:31, 30] = voxels[11:21, 14, 14:31] = voxels[11:21, 30, 14:31] = 0
    air = voxels < -450
    gas = bowel_gas(voxels, air, (1.5, 1.5, 1.5))
    assert gas[15, 32:53, 46:78].all()
    assert not gas[:, :, :38].any()


def test_a_part_of_the_lungs_is_refused_and_told() -> None:
    volume, _ = chest()
    half = len(volume.frames) // 2
    part = replace(volume, voxels=volume.voxels[:half], frames=volume.frames[:half])
    assert _refusal(part) == "LUNG_INCOMPLETE"


def test_contrast_and_filtering_are_flagged() -> None:
    volume, _ = chest()
    attributes = {**volume.attributes, "ContrastBolusAgent": "Iodine", "ImageType": r"DERIVED\SECONDARY\AXIAL"}
    assert {"CONTRAST_AGENT", "DERIVED_SERIES"} <= _flags(_analyze(replace(volume, attributes=attributes)))


def test_the_chart_counts_every_voxel_of_the_lungs() -> None:
    analysis = _of_phantom()
    (chart,) = [item.chart for item in analysis.measurements if item.chart is not None]
    lungs = sum(int(mask.voxels.sum()) for mask in analysis.masks if "lung" in mask.label)
    assert sum(chart["counts"]) == lungs
    assert len(chart["edges"]) == len(chart["counts"]) + 1
