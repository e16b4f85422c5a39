"""Tissue composition: the phantom's truth, whatever way it lies, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis_svc.anatomy.body_mask import body_mask
from analysis_svc.anatomy.tissue_classes import Tissue, classify
from analysis_svc.measurement import Analysis
from analysis_svc.model import Model
from analysis_svc.models.tissue_composition import TissueComposition
from imaging.errors import MeasurementRefused
from imaging.volume.volume import Volume
from tests.analysis.chest import COARSE_MM, FINE_MM, QUICK_MM, chest, hounsfield_volume, seen_from, silent

MODEL = TissueComposition()


def _analyze(volume: Volume, **parameters: object) -> Analysis:
    return MODEL.analyze(volume, MODEL.Parameters(**parameters), silent)  # type: ignore[arg-type] # checked by pydantic


@lru_cache(maxsize=2)
def _of_phantom(spacing_mm: tuple[float, float, float] = COARSE_MM) -> Analysis:
    return _analyze(chest(spacing_mm)[0])


def _volumes_ml(analysis: Analysis) -> dict[str, float]:
    return {
        item.tracking_identifier: item.value
        for item in analysis.measurements
        if item.value is not None and item.concept.meaning == "Volume"
    }


def test_it_is_a_model() -> None:
    assert isinstance(MODEL, Model)


@pytest.mark.parametrize("spacing_mm", [COARSE_MM, FINE_MM])
def test_volumes_of_the_phantom_are_within_two_percent(spacing_mm: tuple[float, float, float]) -> None:
    _, truth = chest(spacing_mm)
    measured = _volumes_ml(_of_phantom(spacing_mm))
    expected = {
        "Body": truth.body_volume_mm3,
        "Fat": truth.fat_volume_mm3,
        "Soft tissue": truth.soft_tissue_volume_mm3,
        "Bone": truth.bone_volume_mm3,
        "Gas": truth.lung_volume_mm3 + truth.trachea_volume_mm3,
    }
    for name, volume_mm3 in expected.items():
        assert measured[name] == pytest.approx(volume_mm3 / 1000, rel=0.02), name


def test_the_table_is_not_part_of_the_body() -> None:
    volume, _ = chest()
    body = body_mask(volume.voxels, volume.spacing_mm)
    behind = volume.origin_mm[1] + np.arange(volume.voxels.shape[1]) * volume.spacing_mm[1] > 101
    table = (volume.voxels > -500) & behind[None, :, None]
    assert table.any()
    assert not (body & table).any()


@pytest.mark.parametrize("padding", [-2000, 0, 3000])
def test_padding_is_no_tissue_whatever_its_value(padding: int) -> None:
    volume, _ = chest(COARSE_MM)
    rows, columns = np.indices(volume.voxels.shape[1:])
    outside = np.hypot(*(part - (size - 1) / 2 for part, size in zip((rows, columns), rows.shape, strict=True)))
    voxels = np.where(outside > 0.52 * max(rows.shape), np.int16(padding), volume.voxels)
    assert (voxels == padding).any()
    padded = replace(volume, voxels=voxels, attributes={**volume.attributes, "PixelPaddingValue": str(padding)})
    air = replace(volume, voxels=np.where(voxels == padding, np.int16(-1000), voxels))
    assert _volumes_ml(_analyze(padded)) == _volumes_ml(_analyze(air))


def test_percentages_are_those_of_the_volumes() -> None:
    analysis = _of_phantom()
    volumes = _volumes_ml(analysis)
    for item in analysis.measurements:
        if item.unit is not None and item.unit.value == "%":
            assert item.value == pytest.approx(100 * volumes[item.tracking_identifier] / volumes["Body"])


def test_masks_hold_the_measured_voxels() -> None:
    volume, _ = chest()
    analysis = _of_phantom()
    volumes = _volumes_ml(analysis)
    assert [mask.label for mask in analysis.masks] == ["Fat", "Soft tissue", "Bone"]
    for mask in analysis.masks:
        assert mask.voxels.shape == volume.voxels.shape
        assert mask.voxels.sum() * volume.voxel_volume_mm3 / 1000 == pytest.approx(volumes[mask.label])


def test_no_masks_are_made_when_none_are_wanted() -> None:
    analysis = _analyze(chest()[0], store_masks=False)
    assert analysis.masks == ()
    assert {item.segment_label for item in analysis.measurements} == {""}


@settings(max_examples=6, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_way_of_acquisition_changes_no_volume(order: list[int], flips: tuple[bool, bool, bool]) -> None:
    volume, _ = chest(QUICK_MM)
    turned = seen_from(volume, (order[0], order[1], order[2]), flips)
    assert _volumes_ml(_analyze(turned)) == pytest.approx(_volumes_ml(_analyze(volume)))


def test_a_slab_border_changes_no_class() -> None:
    volume, _ = chest()
    body = body_mask(volume.voxels, volume.spacing_mm)
    whole = classify(volume.voxels, body)
    part = classify(volume.voxels[10:50], body[10:50])
    # The halo of a slab is a little wider than what a voxel looks at.
    assert np.array_equal(whole[14:46], part[4:-4])


def test_fractional_hounsfield_values_leave_no_gap_between_the_ranges() -> None:
    voxels = np.full((5, 8, 8), -29.5, dtype=np.float32)
    classes = classify(voxels, np.ones(voxels.shape, dtype=np.bool_))
    assert set(np.unique(classes)) == {int(Tissue.SOFT)}


def test_a_series_without_a_body_is_refused_with_the_reason() -> None:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze(hounsfield_volume(np.full((6, 32, 32), -1000, dtype=np.int16)))
    assert refused.value.metadata["rule"] == "NO_BODY"


def test_values_that_are_not_hounsfield_units_are_refused() -> None:
    with pytest.raises(MeasurementRefused) as refused:
        _analyze(replace(chest()[0], units="1"))
    assert refused.value.metadata["rule"] == "NOT_HOUNSFIELD"


def test_a_contrast_agent_and_a_cut_body_are_flagged() -> None:
    volume, _ = chest()
    cut = replace(
        volume,
        voxels=volume.voxels[:, :, 40:-40],
        attributes={**volume.attributes, "ContrastBolusAgent": "Iodine"},
    )
    flags = {flag.code for item in _analyze(cut).measurements for flag in item.quality_flags}
    assert {"CONTRAST_AGENT", "BODY_TRUNCATED", "RESEARCH_USE"} <= flags


def test_voxels_of_no_ct_of_people_are_refused() -> None:
    volume = replace(chest()[0], spacing_mm=(3.0, 0.0001, 0.0001))
    with pytest.raises(MeasurementRefused) as caught:
        _analyze(volume)
    assert caught.value.metadata["rule"] == "VOXEL_SIZE"
