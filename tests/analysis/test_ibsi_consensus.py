"""Radiomic features against the consensus of the Image Biomarker Standardisation Initiative on its digital phantom."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr._concepts_dict import concepts as published

from analysis_svc.radiomics.feature import Feature
from analysis_svc.radiomics.intensity_histogram import fixed_bin_number, intensity_histogram
from analysis_svc.radiomics.intensity_statistics import intensity_statistics
from analysis_svc.radiomics.morphology import morphology
from tests.analysis.ibsi_digital_phantom import CONSENSUS, MASK, SPACING_MM, VOXELS

DOCS = Path(__file__).parents[2] / "docs" / "radiomics.md"
LEVELS = 6


def _features() -> list[Feature]:
    values = VOXELS[MASK]
    return [
        *morphology(MASK, VOXELS, SPACING_MM),
        *intensity_statistics(values),
        *intensity_histogram(fixed_bin_number(values, LEVELS), LEVELS),
    ]


def _row(feature: Feature) -> str:
    consensus = CONSENSUS[feature.code]
    tolerance = f" ± {consensus.tolerance:g}" if consensus.tolerance else ""
    return f"| {feature.meaning} | {feature.code} | {feature.value:.4g} | {consensus.value}{tolerance} |"


@pytest.mark.parametrize("feature", _features(), ids=lambda feature: feature.code)
def test_each_feature_is_within_the_tolerance_of_the_consensus(feature: Feature) -> None:
    consensus = CONSENSUS[feature.code]
    assert consensus.agrees(feature.value), f"{feature.meaning} is {feature.value}, the consensus {consensus.value}"


def test_no_feature_is_missing_and_none_is_told_twice() -> None:
    codes = [feature.code for feature in _features()]
    assert sorted(codes) == sorted(CONSENSUS)


def test_the_table_of_the_docs_is_what_is_computed() -> None:
    rows = re.findall(r"^\| .* \| [A-Z0-9]{4} \| .*$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows[0] == "| feature | IBSI | computed | consensus |"
    assert [row for row in rows if row != rows[0]] == [_row(feature) for feature in _features()]


def test_features_have_the_meanings_that_dicom_gives_their_codes() -> None:
    meanings = {code: meaning[0] for entry in published["IBSI"].values() for code, meaning in entry.items()}
    for feature in _features():
        assert meanings.get(feature.code, feature.meaning) == feature.meaning
        assert len(feature.meaning) <= 64


def test_a_wrong_value_does_not_agree() -> None:
    assert not CONSENSUS["RNU0"].agrees(592)
    assert not CONSENSUS["Q4LE"].agrees(2.16)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
def test_a_ball_has_its_size(spacing_mm: tuple[float, float, float]) -> None:
    z, y, x = (np.arange(-24, 25) * step for step in spacing_mm)
    ball = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2 < 15.0**2
    told = {feature.code: feature.value for feature in morphology(ball, None, spacing_mm)}
    assert told["RNU0"] == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)
    assert told["L0JK"] == pytest.approx(30, abs=2 * max(spacing_mm))
    assert told["TDIC"] == pytest.approx(4 * 15 / np.sqrt(5), rel=0.01)  # by definition, not the diameter
    assert told["QCFX"] > 0.85
    assert "99N0" not in told  # nothing about intensities without any


def test_a_single_voxel_and_a_flat_region_leave_out_what_they_do_not_have() -> None:
    one = {feature.code for feature in morphology(np.ones((1, 1, 1), dtype=np.bool_), None, (1.0, 1.0, 1.0))}
    flat = {feature.code: feature.value for feature in morphology(np.ones((1, 5, 7), dtype=np.bool_), None, SPACING_MM)}
    assert "TDIC" not in one
    assert "RNU0" in one
    assert flat["7J51"] == 0
    assert "6BDE" not in flat


def test_equal_values_have_no_shape_of_their_distribution() -> None:
    told = {feature.code: feature.value for feature in intensity_statistics(np.full(10, 7))}
    assert (told["ECT3"], told["KE2A"], told["IPH6"]) == (0, 0, 0)
    assert "7TET" not in {feature.code for feature in intensity_statistics(np.zeros(4))}
    assert {feature.code for feature in intensity_statistics(np.ones(4), has_true_zero=False)}.isdisjoint(
        {"7TET", "9S40"}
    )
    histogram = {feature.code: feature.value for feature in intensity_histogram(fixed_bin_number(np.ones(9), 4), 4)}
    assert (histogram["TLU2"], histogram["BJ5W"]) == (0, 1)
