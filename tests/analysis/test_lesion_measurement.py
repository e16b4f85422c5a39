"""Lesions: the phantom's volumes and diameters, invariance, and what is no lesion."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis_svc.measurement import Analysis, Measurement
from analysis_svc.models.lesion_measurement import LesionMeasurement
from analysis_svc.models.lesion_size import measure_lesion
from imaging.errors import MeasurementRefused
from imaging.phantom.shape import Ellipsoid, Grid, coverage
from imaging.volume.volume import Volume
from tests.analysis.chest import COARSE_MM, FINE_MM, QUICK_MM, chest, hounsfield_volume, seen_from, silent

MODEL = LesionMeasurement()


def _analyze(volume: Volume, **parameters: object) -> Analysis:
    return MODEL.analyze(volume, MODEL.Parameters(**parameters), silent)  # type: ignore[arg-type] # checked by pydantic


@lru_cache(maxsize=2)
def _of_phantom(spacing_mm: tuple[float, float, float] = COARSE_MM) -> Analysis:
    return _analyze(chest(spacing_mm)[0])


def _lesions(analysis: Analysis) -> list[dict[str, Measurement]]:
    found: dict[str, dict[str, Measurement]] = {}
    for item in analysis.measurements:
        if item.tracking_identifier != "Lesions":
            found.setdefault(item.tracking_identifier, {})[item.concept.meaning] = item
    return list(found.values())


def _value(measurement: Measurement) -> float:
    assert measurement.value is not None
    return measurement.value


@pytest.mark.parametrize("spacing_mm", [COARSE_MM, FINE_MM])
def test_lesions_of_the_phantom_are_true_to_two_percent_and_to_one_voxel(
    spacing_mm: tuple[float, float, float],
) -> None:
    _, truth = chest(spacing_mm)
    expected = sorted(truth.lesions, key=lambda lesion: -lesion.volume_mm3)
    lesions = _lesions(_of_phantom(spacing_mm))
    assert len(lesions) == len(expected)
    for lesion, true in zip(lesions, expected, strict=True):
        assert _value(lesion["Volume"]) == pytest.approx(true.volume_mm3, rel=0.02)
        assert _value(lesion["Long axis"]) == pytest.approx(true.long_axis_mm, abs=max(spacing_mm[1:]))
        assert _value(lesion["Short axis"]) <= _value(lesion["Long axis"]) + 1e-9
        assert _value(lesion["Attenuation Coefficient"]) == pytest.approx(truth.lesion_hu, abs=5)
        ends = np.array(lesion["Long axis"].line_mm).reshape(2, 3)
        assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(_value(lesion["Long axis"]))
        assert np.linalg.norm(ends.mean(axis=0) - true.centre_mm) < 2 * max(spacing_mm)


def test_the_ellipsoid_has_its_short_axis_too() -> None:
    lesions = _lesions(_of_phantom(FINE_MM))
    (ellipsoid,) = [lesion for lesion in lesions if _value(lesion["Long axis"]) > 27]
    assert _value(ellipsoid["Short axis"]) == pytest.approx(20.0, abs=1.2)
    long, short = (
        np.diff(np.array(ellipsoid[f"{axis} axis"].line_mm).reshape(2, 3), axis=0)[0] for axis in ("Long", "Short")
    )
    assert np.linalg.norm(short) == pytest.approx(_value(ellipsoid["Short axis"]))
    assert abs(long @ short) < 1e-6


def test_each_lesion_is_on_its_side_with_its_own_segment_and_frame() -> None:
    volume, _ = chest()
    analysis = _of_phantom()
    assert len(analysis.masks) == 3
    for lesion in _lesions(analysis):
        centre = np.array(lesion["Long axis"].line_mm).reshape(2, 3).mean(axis=0)
        site = lesion["Volume"].site
        assert site is not None
        assert site.meaning == ("Right lung" if centre[0] < 0 else "Left lung")
        (mask,) = [mask for mask in analysis.masks if mask.label == lesion["Volume"].segment_label]
        (frame,) = lesion["Volume"].frames
        slice_index = volume.frames.index(frame)
        assert mask.voxels[slice_index].any()
        for axis in ("Long axis", "Short axis"):
            ends = np.array(lesion[axis].line_mm).reshape(2, 3)
            off_slice = np.linalg.inv(volume.affine) @ np.column_stack([ends, [1, 1]]).T
            assert np.isclose(off_slice[:3], slice_index, atol=1e-6).all(axis=1).any()
    assert analysis.measurements[0].value == 3


@settings(max_examples=5, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_way_of_acquisition_changes_no_volume(order: list[int], flips: tuple[bool, bool, bool]) -> None:
    volume, _ = chest(QUICK_MM)
    turned = seen_from(volume, (order[0], order[1], order[2]), flips)
    for concept in ("Volume", "Long axis"):
        straight = [_value(lesion[concept]) for lesion in _lesions(_analyze(volume))]
        assert [_value(lesion[concept]) for lesion in _lesions(_analyze(turned))] == pytest.approx(straight, rel=1e-3)


def _ball(centre: tuple[float, float, float], radius: float, turn_degrees: float = 0.0, b: float = 0.0) -> Volume:
    """A dense ball or ellipsoid in lung, in a small box."""
    grid = Grid((30, 40, 40), (1.5, 1.0, 1.0))
    shape = Ellipsoid(centre, (radius, b or radius, b or radius), turn_degrees)
    box, fraction = coverage(shape, grid)
    density = np.full(grid.shape, -870.0)
    density[box] += fraction * 900
    return hounsfield_volume(density.astype(np.float32), grid.spacing_mm)


def _size(volume: Volume) -> tuple[float, float]:
    size = measure_lesion(
        volume.voxels, volume.voxels > -420, np.ones(volume.voxels.shape, dtype=np.bool_), volume.spacing_mm
    )
    assert size is not None
    return size.volume_mm3, size.long_axis_mm


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3)),
    st.floats(4, 9),
    st.floats(0, 180),
    st.floats(0.6, 1.0),
)
def test_place_and_turn_change_neither_volume_nor_long_axis(
    centre: tuple[float, float, float], radius: float, turn_degrees: float, flatness: float
) -> None:
    volume_mm3, long_axis_mm = _size(_ball(centre, radius, turn_degrees, radius * flatness))
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3 * flatness**2, rel=0.02)
    assert long_axis_mm == pytest.approx(2 * radius, abs=1.0)


def test_a_vessel_is_no_lesion() -> None:
    volume, _ = chest(FINE_MM)
    voxels = volume.voxels.copy()
    z, y, x = (
        origin + np.arange(count) * step
        for origin, count, step in zip(reversed(volume.origin_mm), voxels.shape, volume.spacing_mm, strict=True)
    )
    tube = ((y - 10)[None, :, None] ** 2 + (x - 75)[None, None, :] ** 2 < 3**2) & (np.abs(z + 25) < 20)[:, None, None]
    voxels[tube] = 40
    assert len(_lesions(_analyze(replace(volume, voxels=voxels)))) == 3


def test_the_number_of_lesions_is_limited_and_the_rest_told() -> None:
    analysis = _analyze(chest()[0], max_lesions=2)
    assert len(_lesions(analysis)) == 2
    assert analysis.measurements[0].value == 3
    assert "MORE_LESIONS" in {flag.code for flag in analysis.measurements[0].quality_flags}


def test_every_number_says_that_it_is_for_research() -> None:
    for item in _of_phantom().measurements:
        assert "RESEARCH_USE" in {flag.code for flag in item.quality_flags}


def test_without_lungs_it_is_refused() -> None:
    voxels = np.full((20, 40, 40), -1000, dtype=np.int16)
    voxels[:, 5:35, 5:35] = 40
    with pytest.raises(MeasurementRefused) as refused:
        _analyze(hounsfield_volume(voxels, (2.0, 3.0, 3.0)))
    assert refused.value.metadata["rule"] == "NO_LUNG"


def test_a_clean_lung_has_no_lesion_and_says_so() -> None:
    volume, truth = chest()
    voxels = volume.voxels.copy()
    for mask in _of_phantom().masks:
        grown = np.zeros_like(mask.voxels)
        places = np.argwhere(mask.voxels)
        low, high = places.min(axis=0) - 2, places.max(axis=0) + 3
        grown[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
        voxels[grown] = round(truth.lung_hu)
    analysis = _analyze(replace(volume, voxels=voxels))
    assert [item.value for item in analysis.measurements] == [0.0]
    assert analysis.masks == ()
