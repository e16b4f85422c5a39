"""What makes a volume, and what is refused, with its reason."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imaging.errors import VolumeRefused
from imaging.volume.assemble import assemble
from imaging.volume.frame_header import FrameHeader
from imaging.volume.geometry import volume_geometry

Frame = tuple[FrameHeader, NDArray[Any]]


def _header(number: int, position: tuple[float, float, float], **changes: Any) -> FrameHeader:
    plain = FrameHeader(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"1.2.{number}",
        frame_number=1,
        rows=3,
        columns=4,
        position_mm=position,
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        pixel_spacing_mm=(0.5, 0.75),
        slice_thickness_mm=2.0,
        rescale_intercept=-1024.0,
        rescale_type="HU",
        units="[hnsf'U]",
        frame_of_reference_uid="1.3",
        series_instance_uid="1.4",
        study_instance_uid="1.5",
        modality="CT",
    )
    return replace(plain, **changes)


def _stack(count: int = 6, step: float = 2.0) -> list[Frame]:
    return [
        (_header(index, (10.0, 20.0, -30.0 + step * index)), np.full((3, 4), 1024 + index, dtype=np.uint16))
        for index in range(count)
    ]


def _refusal(frames: list[Frame], **options: Any) -> VolumeRefused:
    with pytest.raises(VolumeRefused) as told:
        assemble(frames, **options)
    assert told.value.hint
    assert told.value.where
    return told.value


def _changed(frames: list[Frame], index: int, **changes: Any) -> list[Frame]:
    return [
        (replace(header, **changes) if place == index else header, stored)
        for place, (header, stored) in enumerate(frames)
    ]


@given(order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_slices_in_any_order_make_the_same_volume(order: list[int]) -> None:
    frames = _stack()
    volume = assemble([frames[index] for index in order])
    assert volume.voxels[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == (2.0, 0.5, 0.75)
    assert volume.origin_mm == (10.0, 20.0, -30.0)
    assert [frame.sop_instance_uid for frame in volume.frames] == [f"1.2.{index}" for index in range(6)]


@given(
    angles=st.tuples(*(st.floats(-3, 3) for _ in range(3))),
    step=st.floats(0.1, 9),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_an_oblique_stack_maps_every_voxel_to_its_place(
    angles: tuple[float, float, float], step: float, seed: int
) -> None:
    row, column, normal = _turned(angles)
    places = [np.array([5.0, -7.0, 11.0]) + normal * step * index for index in range(5)]
    frames = [
        (
            _header(index, tuple(place), orientation=(*row, *column)),
            np.full((3, 4), index, dtype=np.int16),
        )
        for index, place in enumerate(places)
    ]
    random.Random(seed).shuffle(frames)
    volume = assemble(frames)
    index = np.array([[3.0, 2.0, 1.0]])
    expected = places[3] + 2 * 0.5 * column + 1 * 0.75 * row
    assert np.allclose(volume.to_patient_mm(index)[0], expected, atol=1e-6)
    assert volume.voxels[3, 0, 0] == 3 - 1024


def _turned(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix.T


def test_a_missing_slice_is_told_with_its_place() -> None:
    frames = _stack()
    del frames[3]
    refusal = _refusal(frames)
    assert refusal.metadata["rule"] == "gap"
    assert refusal.metadata["first_sop_instance_uid"] == "1.2.2"
    assert refusal.metadata["second_sop_instance_uid"] == "1.2.4"
    assert "1 slice is missing" in refusal.what


def test_a_missing_slice_among_three_is_found() -> None:
    frames = _stack(4)
    del frames[1]
    assert _refusal(frames).metadata["rule"] == "gap"


def test_several_missing_slices_are_counted() -> None:
    frames = _stack(9)
    del frames[3:6]
    assert "3 slices are missing" in _refusal(frames).what


def test_a_step_that_is_no_multiple_is_uneven() -> None:
    frames = _stack()
    frames = _changed(frames, 5, position_mm=(10.0, 20.0, -19.2))
    assert _refusal(frames).metadata["rule"] == "uneven_spacing"


@pytest.mark.parametrize(("step", "digits", "passes"), [(3.27, 1, True), (3.275, 2, True), (0.75, 1, False)])
def test_rounded_positions_pass_up_to_a_twentieth_of_the_step(step: float, digits: int, passes: bool) -> None:
    frames = [
        (replace(header, position_mm=(10.0, 20.0, round(-30 + step * index, digits))), stored)
        for index, (header, stored) in enumerate(_stack(10))
    ]
    if passes:
        assert assemble(frames).spacing_mm[0] == pytest.approx(step, rel=0.005)
    else:
        assert _refusal(frames).metadata["rule"] == "uneven_spacing"


def test_steps_that_grow_slowly_are_refused_as_drift() -> None:
    frames = [
        (replace(header, position_mm=(10.0, 20.0, -30 + 2.0 * index + 0.001 * index**2)), stored)
        for index, (header, stored) in enumerate(_stack(40))
    ]
    assert "drifts" in _refusal(frames).what


def test_two_slices_at_one_place_are_named() -> None:
    frames = _stack()
    frames.append((_header(77, frames[2][0].position_mm), frames[2][1]))
    refusal = _refusal(frames)
    assert refusal.metadata["rule"] == "duplicate_position"
    assert {refusal.metadata["first_sop_instance_uid"], refusal.metadata["second_sop_instance_uid"]} == {
        "1.2.2",
        "1.2.77",
    }
    assert "remove one" in refusal.hint


def test_a_fourth_dimension_is_refused_with_its_name() -> None:
    frames = [
        (replace(header, sop_instance_uid=f"1.2.{index}.{b_value}", dimensions={"DiffusionBValue": b_value}), stored)
        for index, (header, stored) in enumerate(_stack())
        for b_value in ("0", "1000")
    ]
    refusal = _refusal(frames)
    assert refusal.metadata["rule"] == "duplicate_position"
    assert "DiffusionBValue" in refusal.hint


def test_a_sheared_stack_without_any_tilt_tag_is_refused() -> None:
    frames = [
        (replace(header, position_mm=(10.0, 20.0 + 0.5 * index, -30 + 2.0 * index)), stored)
        for index, (header, stored) in enumerate(_stack())
    ]
    refusal = _refusal(frames)
    assert refusal.metadata["rule"] == "tilt"
    assert float(refusal.metadata["degrees"]) == pytest.approx(14.04, abs=0.01)


@pytest.mark.parametrize(("degrees", "passes"), [(0.1, True), (0.45, True), (0.6, False), (5.0, False)])
def test_the_limit_of_tilt_is_half_a_degree(degrees: float, passes: bool) -> None:
    lean = np.tan(np.radians(degrees))
    frames = [
        (replace(header, position_mm=(10.0, 20.0 + lean * 2.0 * index, -30 + 2.0 * index)), stored)
        for index, (header, stored) in enumerate(_stack(60))
    ]
    if passes:
        assert assemble(frames).voxels.shape == (60, 3, 4)
    else:
        assert _refusal(frames).metadata["rule"] == "tilt"


def test_a_sideways_jump_within_the_stack_is_refused() -> None:
    frames = _changed(_stack(), 3, position_mm=(10.4, 20.0, -24.0))
    assert _refusal(frames).metadata["rule"] == "in_plane_shift"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)}, "mixed_orientation"),
        ({"rows": 4}, "mixed_size"),
        ({"pixel_spacing_mm": (0.6, 0.75)}, "mixed_spacing"),
        ({"frame_of_reference_uid": "9.9"}, "mixed_frame_of_reference"),
        ({"rescale_type": "US"}, "mixed_rescale_type"),
        ({"series_instance_uid": "9.8"}, "mixed_series"),
    ],
)
def test_mixed_slices_are_refused(changes: dict[str, Any], rule: str) -> None:
    refusal = _refusal(_changed(_stack(), 4, **changes))
    assert refusal.metadata["rule"] == rule
    assert refusal.metadata["second_sop_instance_uid"] == "1.2.4"


@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 1.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0,) * 6])
def test_directions_that_are_none_are_refused(orientation: tuple[float, ...]) -> None:
    frames = [(replace(header, orientation=orientation), stored) for header, stored in _stack()]
    assert _refusal(frames).metadata["rule"] == "invalid_geometry"


def test_one_slice_is_too_few_unless_allowed() -> None:
    frames = _stack(1)
    assert _refusal(frames).metadata["rule"] == "too_few_slices"
    assert assemble(frames, min_slices=1).spacing_mm == (2.0, 0.5, 0.75)
    bare = _changed(frames, 0, slice_thickness_mm=None)
    assert _refusal(bare, min_slices=1).metadata["rule"] == "missing_geometry"


def test_no_slice_at_all_is_refused() -> None:
    assert _refusal([]).metadata["rule"] == "too_few_slices"
    assert _refusal([], min_slices=0).metadata["rule"] == "too_few_slices"


def test_an_array_of_another_shape_is_refused() -> None:
    frames = _stack()
    frames[2] = (frames[2][0], np.zeros((4, 3), dtype=np.int16))
    assert _refusal(frames).metadata["rule"] == "pixel_shape"


def test_a_fractional_slope_gives_float32_with_every_value_right() -> None:
    frames = [
        (replace(header, rescale_slope=0.25 * (index + 1), rescale_intercept=0.5), stored)
        for index, (header, stored) in enumerate(_stack())
    ]
    volume = assemble(frames)
    assert volume.voxels.dtype == np.float32
    assert volume.voxels[:, 0, 0].tolist() == [(1024 + index) * 0.25 * (index + 1) + 0.5 for index in range(6)]


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "dtype"),
    [
        (np.uint16(65535), 1.0, -32768.0, np.int16),
        (np.uint16(65535), 1.0, -32767.0, np.float32),
        (np.int16(-32768), 1.0, 0.0, np.int16),
        (np.int16(-32768), -1.0, 0.0, np.float32),
        (np.uint8(255), 2.0, -4096.0, np.int16),
        (np.float32(1.0), 1.0, 0.0, np.float32),
    ],
)
def test_int16_is_chosen_exactly_where_it_loses_nothing(
    stored: Any, slope: float, intercept: float, dtype: Any
) -> None:
    frames = [
        (replace(header, rescale_slope=slope, rescale_intercept=intercept), np.full((3, 4), stored))
        for header, _ in _stack()
    ]
    volume = assemble(frames)
    assert volume.voxels.dtype == dtype
    assert float(volume.voxels[0, 0, 0]) == float(stored) * slope + intercept


def test_different_thicknesses_leave_it_unknown_and_padding_is_told_in_units() -> None:
    frames = [(replace(header, padding_value=-3024.0), stored) for header, stored in _stack()]
    volume = assemble(_changed(frames, 2, slice_thickness_mm=1.0))
    assert volume.slice_thickness_mm is None
    assert volume.attributes["PixelPaddingValue"] == "-3024"


def test_a_range_of_padding_becomes_one_value() -> None:
    stored = np.array([[0, 5, 10, 11], [1000, 1001, 0, 7], [3, 2, 1, 12]], np.uint16)
    frames = [
        (replace(header, rescale_intercept=-1024.0, padding_value=-1024.0, padding_limit=-1014.0), stored)
        for header, _ in _stack()
    ]
    voxels = assemble(frames).voxels
    expected = np.where(stored <= 10, -1024, stored.astype(np.int16) - 1024)
    assert all(np.array_equal(plane, expected) for plane in voxels)
    assert assemble(frames).attributes["PixelPaddingValue"] == "-1024"
    as_sent = assemble(frames, unify_padding=False)
    assert np.array_equal(as_sent.voxels[0], stored.astype(np.int16) - 1024)
    assert "PixelPaddingValue" not in as_sent.attributes


@pytest.mark.parametrize(
    ("first", "others", "told"),
    [(0.0, 9.0, [[-1, 9], *[[0, -1]] * 5]), (9.0, None, [[0, -1], *[[0, 9]] * 5])],
)
def test_padding_that_not_all_slices_tell_gets_a_value_that_is_no_tissue(
    first: float, others: float | None, told: list[list[int]]
) -> None:
    stored = np.array([[0, 9, 5, 5], [5, 5, 5, 5], [5, 5, 5, 5]], np.int16)
    frames = [
        (replace(header, rescale_intercept=0.0, padding_value=others if index else first), stored)
        for index, (header, _) in enumerate(_stack())
    ]
    volume = assemble(frames)
    assert volume.attributes["PixelPaddingValue"] == "-1"
    assert [plane.ravel()[:2].tolist() for plane in volume.voxels] == told


def test_a_range_whose_value_does_not_fit_gets_another_one() -> None:
    stored = np.full((3, 4), 100, np.uint16)
    stored[0, 0] = 30000
    frames = [
        (replace(header, rescale_intercept=0.0, padding_value=65535.0, padding_limit=20000.0), stored)
        for header, _ in _stack()
    ]
    volume = assemble(frames)
    assert volume.voxels.dtype == np.int16
    assert (volume.voxels[:, 0, 0] == float(volume.attributes["PixelPaddingValue"])).all()
    assert (volume.voxels[:, 0, 1:] == 100).all()


def test_headers_alone_tell_the_geometry() -> None:
    frames = _stack()
    geometry = volume_geometry([header for header, _ in reversed(frames)])
    assert geometry.order == (5, 4, 3, 2, 1, 0)
    assert geometry.shape == (6, 3, 4)
    assert np.array_equal(geometry.direction, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
