"""Resampling keeps every place where it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging.errors import InvalidArgument
from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.volume import resample as resample_module
from imaging.volume.resample import resample
from imaging.volume.volume import SourceFrame, Volume


def _ramp(shape: tuple[int, int, int] = (12, 10, 9)) -> Volume:
    """A volume whose value is a linear function of the place in the patient, which linear interpolation must keep."""
    direction = np.array([[0.0, 0.6, 0.8], [0.0, 0.8, -0.6], [1.0, 0.0, 0.0]])
    volume = Volume(
        voxels=np.zeros(shape, dtype=np.float32),
        spacing_mm=(2.5, 0.7, 0.9),
        origin_mm=(5.0, -8.0, 13.0),
        direction=direction,
        frames=tuple(SourceFrame(f"1.{index}", "1.2", 1) for index in range(shape[0])),
        slice_thickness_mm=3.0,
    )
    return replace(volume, voxels=_values(volume).astype(np.float32))


def _values(volume: Volume) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    index = np.argwhere(np.ones(volume.voxels.shape, dtype=bool)).astype(np.float64)
    place = volume.to_patient_mm(index)
    return np.asarray(place @ [1.0, -2.0, 3.0] + 40).reshape(volume.voxels.shape)


@given(spacing=st.tuples(*(st.floats(0.4, 4.0) for _ in range(3))))
@settings(max_examples=40, deadline=None)
def test_a_linear_field_keeps_its_value_at_every_place(spacing: tuple[float, float, float]) -> None:
    old = _ramp()
    new = resample(old, spacing)
    assert new.spacing_mm == spacing
    inverse = np.linalg.inv(old.affine)
    index = np.argwhere(np.ones(new.voxels.shape, dtype=bool)).astype(np.float64)
    on_old = new.to_patient_mm(index) @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((on_old > -1e-9) & (on_old < np.array(old.voxels.shape) - 1 + 1e-9)).all(axis=1)
    assert np.allclose(new.voxels.ravel()[inside], _values(new).ravel()[inside], atol=1e-3)


@given(spacing=st.tuples(*(st.floats(0.4, 4.0) for _ in range(3))))
@settings(max_examples=40, deadline=None)
def test_the_extent_and_the_middle_stay(spacing: tuple[float, float, float]) -> None:
    old = _ramp()
    new = resample(old, spacing)
    for axis in range(3):
        extent = old.voxels.shape[axis] * old.spacing_mm[axis]
        assert abs(new.voxels.shape[axis] * spacing[axis] - extent) <= spacing[axis] / 2 + 1e-9
    middles = [volume.to_patient_mm((np.array([volume.voxels.shape]) - 1) / 2)[0] for volume in (old, new)]
    assert np.allclose(middles[0], middles[1], atol=1e-9)


def test_the_same_spacing_changes_nothing() -> None:
    old = _ramp()
    new = resample(old, old.spacing_mm)
    assert np.array_equal(new.voxels, old.voxels)
    assert new.origin_mm == pytest.approx(old.origin_mm)
    assert new.frames == old.frames


def test_slabs_give_the_same_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    old = _ramp()
    whole = resample(old, (0.6, 0.6, 0.6))
    monkeypatch.setattr(resample_module, "_SLAB_VOXELS", 1)
    assert np.allclose(resample(old, (0.6, 0.6, 0.6)).voxels, whole.voxels, atol=1e-4)


def test_whole_numbers_stay_int16_and_are_rounded() -> None:
    phantom, _ = ct_chest_phantom(spacing_mm=(9.0, 5.0, 4.0))
    new = resample(phantom, (4.0, 4.0, 4.0))
    assert new.voxels.dtype == np.int16
    assert new.voxels.mean() == pytest.approx(phantom.voxels.mean(), rel=0.02)
    assert new.slice_thickness_mm == 9.0


def test_each_new_slice_names_its_nearest_source_frame() -> None:
    new = resample(_ramp(), (1.25, 0.7, 0.9))
    assert len(new.frames) == new.voxels.shape[0] == 24
    assert [frame.sop_instance_uid for frame in new.frames[::2]] == [f"1.{index}" for index in range(12)]


def test_progress_is_told_and_may_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample_module, "_SLAB_VOXELS", 1)
    told: list[tuple[int, int]] = []
    resample(_ramp(), (5.0, 0.7, 0.9), lambda done, total: told.append((done, total)))
    assert told == [(number, 6) for number in range(1, 7)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        resample(_ramp(), (5.0, 0.7, 0.9), stop)


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_a_spacing_that_is_none_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidArgument, match="positive"):
        resample(_ramp(), spacing)


def test_a_spacing_far_too_small_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(InvalidArgument, match="voxels"):
        resample(_ramp(), (0.001, 0.001, 0.001))
