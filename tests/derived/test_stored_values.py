"""Voxels as 16-bit stored values: exact where that is possible, half a step off at most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imaging.derived.patient_orientation import direction_letters
from imaging.derived.stored_values import ds_text, stored_scale

FINITE = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@given(voxels=arrays.arrays(np.float32, (2, 3, 4), elements=FINITE))
@settings(max_examples=150, deadline=None)
def test_every_value_comes_back_within_half_a_step(voxels: Any) -> None:
    scale = stored_scale(voxels)
    slope, intercept = float(scale.slope_text), float(scale.intercept_text)
    assert (slope, intercept) == (scale.slope, scale.intercept)
    assert max(len(scale.slope_text), len(scale.intercept_text)) <= 16
    back = scale.stored(voxels).astype(np.float64) * slope + intercept
    rounding = 1e-9 * np.abs(voxels).max()
    assert np.abs(back - voxels).max() <= slope / 2 * (1 + 1e-6) + rounding


@given(voxels=arrays.arrays(np.int16, (2, 3, 4), elements=st.integers(-32768, 32767)))
@settings(max_examples=50, deadline=None)
def test_whole_numbers_are_stored_as_they_are(voxels: Any) -> None:
    for values in (voxels, voxels.astype(np.float32)):
        scale = stored_scale(values)
        assert scale.is_identity
        assert np.array_equal(scale.stored(values), voxels)


def test_sixteen_bit_grey_levels_are_shifted_and_exact() -> None:
    voxels = np.arange(65536, dtype=np.float32).reshape(16, 64, 64)
    scale = stored_scale(voxels)
    assert (scale.slope, scale.intercept) == (1.0, 32768.0)
    assert np.array_equal(scale.stored(voxels).astype(np.int64) + 32768, voxels)


def test_a_constant_fraction_is_kept() -> None:
    voxels = np.full((2, 2, 2), 0.25, dtype=np.float32)
    scale = stored_scale(voxels)
    assert (scale.stored(voxels) * scale.slope + scale.intercept == 0.25).all()


@given(value=st.floats(allow_nan=False, allow_infinity=False, min_value=-1e20, max_value=1e20, allow_subnormal=False))
@settings(max_examples=200, deadline=None)
def test_decimal_strings_fit_and_are_as_exact_as_they_can_be(value: float) -> None:
    text = ds_text(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, 0, -1), "F"),
        ((0, 0.6, 0.8), "HP"),
        ((-0.99, 0.1, 0), "R"),
    ],
)
def test_directions_have_the_letters_of_the_body(direction: tuple[float, ...], letters: str) -> None:
    assert direction_letters(np.array(direction, dtype=np.float64)) == letters
