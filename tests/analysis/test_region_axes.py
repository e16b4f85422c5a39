"""The axes of drawn regions against figures whose axes are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis_svc.measurement import Measurement
from analysis_svc.models.recist_axes import recist_axes
from analysis_svc.models.region_axes import RegionAxes
from analysis_svc.regions.region import Region, SegmentedVolume, region_of_planes
from analysis_svc.regions.structure_set_regions import structure_set_regions
from imaging.errors import MeasurementRefused
from imaging.volume.volume import Volume
from tests.analysis.chest import chest, silent
from tests.analysis.drawings import circles, structure_set

MODEL = RegionAxes()
LONG_MM, SHORT_MM, TURN = 70.0, 36.0, np.deg2rad(25)


def _ellipse(volume: Volume, scale: float = 1.0) -> NDArray[np.bool_]:
    """An ellipse with its long axis turned against the rows, in a plane of the volume."""
    _, rows, columns = volume.voxels.shape
    row, column = np.mgrid[:rows, :columns]
    y = (row - rows / 2) * volume.spacing_mm[1]
    x = (column - columns / 2) * volume.spacing_mm[2]
    along, across = x * np.cos(TURN) + y * np.sin(TURN), y * np.cos(TURN) - x * np.sin(TURN)
    inside: NDArray[np.bool_] = (along / (LONG_MM * scale / 2)) ** 2 + (across / (SHORT_MM * scale / 2)) ** 2 <= 1
    return inside


@cache
def _drawn() -> SegmentedVolume:
    volume, _ = chest()
    found = region_of_planes([(8, _ellipse(volume, 0.6)), (9, _ellipse(volume)), (10, _ellipse(volume, 0.8))])
    assert found is not None
    return SegmentedVolume(volume, (Region("Ellipsoid", *found),))


def _axes(segmented: SegmentedVolume) -> dict[str, Measurement]:
    answer = MODEL.analyze(segmented, MODEL.Parameters(), silent)
    return {f"{each.tracking_identifier} {each.concept.meaning}": each for each in answer.measurements}


def _ends(measurement: Measurement) -> NDArray[np.float64]:
    return np.array(measurement.line_mm).reshape(2, 3)


def test_an_ellipse_is_measured_where_it_is_longest_to_one_voxel() -> None:
    segmented = _drawn()
    voxel = max(segmented.volume.spacing_mm[1:])
    told = _axes(segmented)
    long, short = told["Ellipsoid Long axis"], told["Ellipsoid Short axis"]
    assert long.value == pytest.approx(LONG_MM, abs=voxel)
    assert short.value == pytest.approx(SHORT_MM, abs=voxel)
    assert long.frames == short.frames == (segmented.volume.frames[9],)
    step, across = (np.diff(_ends(each), axis=0)[0] for each in (long, short))
    assert np.linalg.norm(step) == pytest.approx(long.value)
    assert np.linalg.norm(across) == pytest.approx(short.value)
    assert abs(step @ across) < 1e-6
    # The length of an ellipse hardly changes near its long axis, so that voxels decide on a few degrees.
    assert np.arctan2(*np.abs(step[[1, 0]])) == pytest.approx(TURN, abs=np.deg2rad(8))
    middle = np.array([[9.0, segmented.volume.voxels.shape[1] / 2, segmented.volume.voxels.shape[2] / 2]])
    for each in (long, short):
        assert np.abs(_ends(each).mean(axis=0) - segmented.volume.to_patient_mm(middle)[0]).max() < 1.5 * voxel
    assert {flag.code for flag in long.quality_flags} == {"RESEARCH_USE"}


def test_a_structure_set_is_measured_as_a_segmentation_is() -> None:
    volume, _ = chest()
    rod = structure_set({"Rod": circles(volume, range(10, 20), (10.0, 5.0), 30.0)}, volume)
    regions, refusals = structure_set_regions(rod, volume)
    assert refusals == []
    told = _axes(SegmentedVolume(volume, tuple(regions)))
    for axis in ("Long", "Short"):
        assert told[f"Rod {axis} axis"].value == pytest.approx(60, abs=max(volume.spacing_mm[1:]))
        # Chords near the middle of a disc are all but equally long.
        middle = _ends(told[f"Rod {axis} axis"]).mean(axis=0)[:2]
        assert np.abs(middle - [10.0, 5.0]).max() < 2 * max(volume.spacing_mm)


def test_what_recist_does_not_take_as_measurable_is_told_as_such() -> None:
    volume, _ = chest()
    mask = np.ones((1, 1, 1), dtype=np.bool_)
    speck = Region("Speck", (slice(3, 4), slice(20, 21), slice(20, 21)), mask)
    told = _axes(SegmentedVolume(volume, (speck,)))
    assert "TOO_SMALL" in {flag.code for flag in told["Speck Long axis"].quality_flags}
    assert told["Speck Long axis"].value == pytest.approx(max(volume.spacing_mm[1:]))


def test_an_outline_of_very_many_points_is_measured_too() -> None:
    row, column = np.mgrid[:1400, :1400]
    disc = ((row - 700) ** 2 + (column - 700) ** 2 <= 650**2)[None]
    axes = recist_axes(disc, [0], (1.0, 1.0, 1.0))
    assert axes is not None
    assert axes.long_mm == pytest.approx(1300, abs=1)
    assert axes.short_mm == pytest.approx(1300, abs=1)


def test_regions_beyond_the_limit_are_told_and_none_at_all_refused() -> None:
    segmented = _drawn()
    both = replace(segmented, regions=segmented.regions * 2)
    answer = MODEL.analyze(both, MODEL.Parameters(max_regions=1), silent)
    assert [refusal.rule for refusal in answer.refusals] == ["MORE_REGIONS"]
    assert len(answer.measurements) == 2
    with pytest.raises(MeasurementRefused):
        MODEL.analyze(replace(segmented, regions=()), MODEL.Parameters(), silent)
