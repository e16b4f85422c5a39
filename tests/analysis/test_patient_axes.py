"""Turning to the patient's axes and back loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis_svc.anatomy.patient_axes import PatientAxes
from tests.analysis.chest import hounsfield_volume, seen_from

ORDERS = st.permutations([0, 1, 2])
FLIPS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=30, deadline=None)
@given(ORDERS, FLIPS)
def test_every_acquisition_turns_to_the_same_array(order: list[int], flips: tuple[bool, bool, bool]) -> None:
    voxels = np.random.default_rng(3).integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
    volume = hounsfield_volume(voxels, (3.0, 2.0, 1.0))
    turned = seen_from(volume, (order[0], order[1], order[2]), flips)
    axes = PatientAxes.of(turned)
    assert np.array_equal(axes.turn(turned.voxels), voxels)
    assert axes.spacing_mm == (3.0, 2.0, 1.0)
    assert np.array_equal(axes.turn_back(axes.turn(turned.voxels)), turned.voxels)


@settings(max_examples=30, deadline=None)
@given(ORDERS, FLIPS, st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)))
def test_an_index_names_the_same_place_in_the_patient(
    order: list[int], flips: tuple[bool, bool, bool], index: tuple[int, int, int]
) -> None:
    volume = hounsfield_volume(np.zeros((3, 4, 5), dtype=np.int16), (3.0, 2.0, 1.0))
    turned = seen_from(volume, (order[0], order[1], order[2]), flips)
    axes = PatientAxes.of(turned)
    there = axes.volume_index(np.array([index], dtype=np.float64), (3, 4, 5))
    assert turned.to_patient_mm(there)[0].tolist() == pytest.approx(
        volume.to_patient_mm(np.array([index], dtype=np.float64))[0].tolist()
    )


def test_an_oblique_volume_goes_to_the_nearest_axes() -> None:
    tilt = np.radians(20)
    volume = hounsfield_volume(np.zeros((2, 3, 4), dtype=np.int16))
    volume.direction[0] = [0.0, -np.sin(tilt), np.cos(tilt)]
    volume.direction[1] = [0.0, np.cos(tilt), np.sin(tilt)]
    assert PatientAxes.of(volume).order == (0, 1, 2)
    assert PatientAxes.of(volume).flipped == (False, False, False)
