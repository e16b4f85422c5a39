"""Fast erosion and dilation of slices do what those of scipy do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from analysis_svc.anatomy.components import component_sizes, members
from analysis_svc.anatomy.plane_morphology import dilate, disc, erode, opened


@given(
    seed=st.integers(0, 1000),
    filled=st.floats(0.1, 0.95),
    diameter_mm=st.floats(0.5, 14),
    row_mm=st.floats(0.4, 3),
    column_mm=st.floats(0.4, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_disc_gives_what_scipy_gives(
    seed: int, filled: float, diameter_mm: float, row_mm: float, column_mm: float
) -> None:
    plane = np.random.RandomState(seed).uniform(size=(23, 31)) < filled
    element = disc(diameter_mm, (row_mm, column_mm))
    assert np.array_equal(erode(plane, element), ndimage.binary_erosion(plane, element))
    assert np.array_equal(dilate(plane, element), ndimage.binary_dilation(plane, element))
    assert np.array_equal(opened(plane, element), ndimage.binary_opening(plane, element))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 3)])
def test_slices_smaller_than_the_disc_are_eroded_to_nothing(shape: tuple[int, int]) -> None:
    assert not erode(np.ones(shape, dtype=np.bool_), disc(9.0, (1.0, 1.0))).any()


def test_sizes_of_parts_are_counted_without_the_background() -> None:
    labels = np.array([[[0, 1], [1, 3]], [[3, 3], [0, 0]]], dtype=np.int32)
    assert component_sizes(labels, 3).tolist() == [0, 2, 0, 3]
    assert component_sizes(labels, 3, labels == 3).tolist() == [0, 0, 0, 3]
    assert np.array_equal(members(labels, np.array([False, False, False, True])), labels == 3)
