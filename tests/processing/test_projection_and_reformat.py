"""Slabs and other planes: every value where it was, in the voxels and in the objects that are stored."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from scipy.interpolate import RegularGridInterpolator

from imaging.derived.deterministic import part10_bytes
from imaging.derived.stored_values import stored_scale
from imaging.errors import InvalidArgument, VolumeRefused
from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.volume.reformat import reformat
from imaging.volume.volume import SourceFrame, Volume
from processing_svc.steps.registry import step_named
from tests.ct_series import CtSeries, ct_series
from tests.processing.conftest import Both
from tests.processing.test_processing_service import _request, _result
from tests.processing.test_steps import _apply, _volume

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def _tilted(shape: tuple[int, int, int] = (9, 11, 13)) -> Volume:
    """A linear field of the place in the patient, on a grid that lies askew."""
    direction = np.array([[0.0, 0.6, 0.8], [0.0, 0.8, -0.6], [-1.0, 0.0, 0.0]])
    volume = Volume(
        voxels=np.zeros(shape, np.float32),
        spacing_mm=(2.5, 0.8, 0.9),
        origin_mm=(5.0, -8.0, 13.0),
        direction=direction,
        frames=tuple(SourceFrame(f"1.{index}", "1.2", 1) for index in range(shape[0])),
        slice_thickness_mm=3.0,
    )
    return replace(volume, voxels=_field(volume).astype(np.float32))


def _field(volume: Volume) -> Any:
    index = np.argwhere(np.ones(volume.voxels.shape, dtype=bool)).astype(np.float64)
    return (volume.to_patient_mm(index) @ [1.0, -2.0, 3.0] + 40).reshape(volume.voxels.shape)


def _on(old: Volume, new: Volume) -> Any:
    """Indices of the new centres on the old grid, shape (n, 3)."""
    inverse = np.linalg.inv(old.affine)
    index = np.argwhere(np.ones(new.voxels.shape, dtype=bool)).astype(np.float64)
    return new.to_patient_mm(index) @ inverse[:3, :3].T + inverse[:3, 3]


@given(
    st.sampled_from([*(step for step in ("axial", "coronal", "sagittal"))]),
    st.floats(0.5, 3.0),
    st.floats(0.5, 5.0),
)
def test_a_linear_field_keeps_its_value_at_every_place_of_the_new_planes(plane: str, pixel: float, step: float) -> None:
    old = _tilted()
    new = _apply("multiplanar-reformat", old, plane=plane, spacing_mm=pixel, slice_spacing_mm=step)
    place, last = _on(old, new), np.array(old.voxels.shape) - 1
    inside = ((place > -1e-9) & (place < last + 1e-9)).all(axis=1)
    assert inside.any()
    assert np.allclose(new.voxels.ravel()[inside], _field(new).ravel()[inside], atol=1e-3)
    outside = ((place < -0.5 - 1e-5) | (place > last + 0.5 + 1e-5)).any(axis=1)
    assert (new.voxels.ravel()[outside] == float(new.attributes["PixelPaddingValue"])).all()
    assert float(new.attributes["PixelPaddingValue"]) < old.voxels.min()
    assert np.allclose(new.direction @ new.direction.T, np.eye(3))
    assert np.linalg.det(new.direction) == pytest.approx(-np.linalg.det(new.direction[::-1]))


@pytest.mark.parametrize(
    ("plane", "row", "column"),
    [("axial", (1, 0, 0), (0, 1, 0)), ("coronal", (1, 0, 0), (0, 0, -1)), ("sagittal", (0, 1, 0), (0, 0, -1))],
)
def test_planes_lie_to_the_patient_as_readers_look_at_them(plane: str, row: Any, column: Any) -> None:
    new = _apply("multiplanar-reformat", _tilted(), plane=plane)
    assert new.direction[2] == pytest.approx(row)
    assert new.direction[1] == pytest.approx(column)
    assert new.direction[0] == pytest.approx(np.cross(row, column))
    assert new.spacing_mm == (0.8, 0.8, 0.8)


def test_planes_along_the_old_axes_are_the_old_voxels() -> None:
    values = np.random.RandomState(3).randint(-1000, 1000, (5, 6, 7)).astype(np.int16)
    volume = _volume(values, spacing_mm=(2.0, 1.0, 1.5))
    same = reformat(volume, *AXIAL, (2.0, 1.0, 1.5))
    assert np.array_equal(same.voxels, values)
    assert (same.origin_mm, same.spacing_mm) == (volume.origin_mm, volume.spacing_mm)
    assert "PixelPaddingValue" not in same.attributes
    coronal = reformat(volume, (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (1.0, 2.0, 1.5))
    assert np.array_equal(coronal.voxels, values[::-1].transpose(1, 0, 2))
    assert np.array_equal(coronal.to_patient_mm(np.zeros((1, 3)))[0], volume.to_patient_mm(np.array([[4.0, 0, 0]]))[0])


def test_oblique_planes_are_those_that_are_given() -> None:
    turned = (np.cos(0.3), np.sin(0.3), 0.0)
    new = _apply(
        "multiplanar-reformat", _tilted(), plane="oblique", row_direction=list(turned), column_direction=[0, 0, -2.0]
    )
    assert new.direction[2] == pytest.approx(turned)
    assert new.direction[1] == pytest.approx([0, 0, -1])


def test_interpolation_is_that_of_scipy_and_of_simpleitk() -> None:
    old = replace(_tilted((12, 20, 18)), attributes={})
    noise = np.random.RandomState(8).normal(0, 300, old.voxels.shape).astype(np.float32)
    old = replace(old, voxels=noise)
    new = reformat(old, (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.7, 1.1, 0.6))
    place, last = _on(old, new), np.array(old.voxels.shape) - 1
    inside = ((place >= 0) & (place <= last)).all(axis=1)
    grid = tuple(np.arange(count, dtype=np.float64) for count in old.voxels.shape)
    expected = RegularGridInterpolator(grid, noise.astype(np.float64))(place[inside])
    assert np.abs(new.voxels.ravel()[inside] - expected).max() < 1e-3
    assert np.abs(new.voxels.ravel()[inside] - _by_simpleitk(old, new).ravel()[inside]).max() < 1e-3


def _by_simpleitk(old: Volume, new: Volume) -> Any:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed, so that scipy is the only reference")
    image = sitk.GetImageFromArray(old.voxels)
    image.SetSpacing(old.spacing_mm[::-1])
    image.SetOrigin(old.origin_mm)
    image.SetDirection(old.direction[::-1].T.ravel().tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(new.voxels.shape[::-1])
    resampler.SetOutputSpacing(new.spacing_mm[::-1])
    resampler.SetOutputOrigin(new.origin_mm)
    resampler.SetOutputDirection(new.direction[::-1].T.ravel().tolist())
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetOutputPixelType(sitk.sitkFloat64)
    return sitk.GetArrayFromImage(resampler.Execute(image))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"plane": "oblique"}, "oblique"),
        ({"row_direction": [1, 0, 0]}, "oblique"),
        ({"plane": "oblique", "row_direction": [1, 0], "column_direction": [0, 1, 0]}, "row_direction"),
        ({"spacing_mm": 0}, "spacing_mm"),
    ],
)
def test_planes_that_cannot_be_are_refused_by_name(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        step_named("multiplanar-reformat").parsed(parameters)


def test_directions_that_are_not_perpendicular_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="perpendicular"):
        reformat(_tilted(), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(InvalidArgument, match="not zero"):
        reformat(_tilted(), (0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(InvalidArgument, match="voxels"):
        reformat(_tilted(), *AXIAL, (0.001, 0.001, 0.001))


def test_the_lungs_have_the_same_volume_in_coronal_planes() -> None:
    phantom, _ = ct_chest_phantom(spacing_mm=(3.0, 3.0, 3.0))
    coronal = _apply("multiplanar-reformat", phantom, spacing_mm=3.0)
    air = [((each.voxels > -950) & (each.voxels < -700)).sum() * each.voxel_volume_mm3 for each in (phantom, coronal)]
    assert air[1] == pytest.approx(air[0], rel=1e-9)


def _spikes() -> Volume:
    """Ten slices, 2 mm apart and 3 mm thick, with one bright and one dark voxel in slice 4."""
    voxels = np.full((10, 4, 4), 100, dtype=np.int16)
    voxels[4, 1, 1], voxels[4, 2, 2] = 1000, -1000
    return _volume(voxels, spacing_mm=(2.0, 1.0, 1.0), slice_thickness_mm=3.0)


@pytest.mark.parametrize(
    ("how", "bright", "dark"), [("maximum", 1000, 100), ("minimum", 100, -1000), ("mean", 325, -175)]
)
def test_a_slab_holds_the_largest_the_smallest_or_the_mean(how: str, bright: int, dark: int) -> None:
    slabs = _apply("slab-projection", _spikes(), how=how, thickness_mm=8, spacing_mm=4)
    assert slabs.voxels.shape == (4, 4, 4)
    assert slabs.voxels[:, 1, 1].tolist() == [100, bright, bright, 100]
    assert slabs.voxels[:, 2, 2].tolist() == [100, dark, dark, 100]


def test_slabs_lie_in_their_middles_and_are_as_thick_as_they_are() -> None:
    slabs = _apply("slab-projection", _spikes(), thickness_mm=8, spacing_mm=4)
    assert slabs.spacing_mm == (4.0, 1.0, 1.0)
    assert slabs.origin_mm == (0.0, 0.0, 3.0)
    assert slabs.slice_thickness_mm == 3 * 2.0 + 3.0
    assert [[frame.sop_instance_uid for frame in frames] for frames in slabs.sources] == [
        [f"1.{index}" for index in range(start, start + 4)] for start in (0, 2, 4, 6)
    ]


def test_a_slab_thicker_than_the_volume_is_the_whole_volume() -> None:
    slabs = _apply("slab-projection", _spikes(), thickness_mm=500)
    assert slabs.voxels.shape == (1, 4, 4)
    assert slabs.origin_mm == (0.0, 0.0, 9.0)


@pytest.mark.parametrize("thickness_mm", [0.1, 2.9])
def test_a_slab_of_one_slice_is_refused(thickness_mm: float) -> None:
    with pytest.raises(VolumeRefused, match="would be one slice: there are 10, 2 mm apart"):
        _apply("slab-projection", _spikes(), thickness_mm=thickness_mm)


def test_slabs_are_described_as_thick_as_they_are() -> None:
    step = step_named("slab-projection")
    parameters = step.parsed({"thickness_mm": 500})
    derivation = step.derivation_of(_apply("slab-projection", _spikes(), thickness_mm=500), parameters)
    assert derivation.series_suffix == "MIP 21 mm"
    assert derivation.description == "Maximum over slabs of 21 mm along the normal of the slices"


@pytest.mark.parametrize(("how", "value"), [("maximum", -1010), ("minimum", -1020), ("mean", -1015)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_padding_has_no_part_in_a_slab(how: str, value: int, dtype: Any) -> None:
    for padding in (-2000, 0):
        voxels = np.full((4, 3, 3), padding, dtype=dtype)
        voxels[1:3, 1, 1] = -1010, -1020
        slab = _apply(
            "slab-projection",
            _volume(voxels, attributes={"PixelPaddingValue": str(padding)}),
            how=how,
            thickness_mm=8,
        ).voxels[0]
        assert slab[1, 1] == value
        assert (np.delete(slab.ravel(), 4) == padding).all()


def test_what_has_a_part_of_padding_is_padding_on_other_planes() -> None:
    rows, columns = np.indices((24, 24)) - 11.5
    disc = np.broadcast_to(rows**2 + columns**2 <= 100, (8, 24, 24))
    volume = _volume(np.where(disc, 40, -2000).astype(np.int16), attributes={"PixelPaddingValue": "-2000"})
    new = reformat(volume, (0.6, 0.8, 0.0), (0.0, 0.0, -1.0), (0.7, 0.7, 0.7))
    assert np.unique(new.voxels).tolist() == [-2000, 40]
    assert new.attributes["PixelPaddingValue"] == "-2000"
    assert (new.voxels == 40).sum() * new.voxel_volume_mm3 == pytest.approx(disc.sum() * 2.0, rel=0.2)


def test_small_values_keep_their_precision_beside_the_padding_of_other_planes() -> None:
    """A map of diffusion coefficients: 0 to 0.003 mm2/s."""
    tilted = _tilted()
    values = np.random.default_rng(3).uniform(0, 0.003, tilted.voxels.shape).astype(np.float32)
    new = reformat(replace(tilted, voxels=values), *AXIAL, (1.0, 1.0, 1.0))
    padding = float(new.attributes["PixelPaddingValue"])
    assert -1e-4 < padding < values.min()
    assert (new.voxels == np.float32(padding)).any()
    assert stored_scale(new.voxels).slope < 1e-7


@given(st.integers(1, 40))
def test_planes_in_blocks_of_rows_are_the_planes(pixels: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = reformat(_tilted(), *AXIAL, (1.5, 1.0, 1.2))
        patch.setattr("imaging.volume.reformat._BLOCK_PIXELS", pixels)
        parts = reformat(_tilted(), *AXIAL, (1.5, 1.0, 1.2))
    assert np.array_equal(parts.voxels, whole.voxels)
    assert parts.sources == whole.sources
    assert parts.attributes == whole.attributes


async def test_stored_slabs_and_planes_tell_their_geometry_and_all_of_their_sources(services: Both) -> None:
    sent = ct_series("projected", slices=6, size=16)
    await services.send(sent)
    source, _ = await services.storage.read_volume(sent.series)
    slabs = await _result(services, _request(sent.series, "slab-projection", {"thickness_mm": 8, "spacing_mm": 8}))
    volume, headers = await services.storage.read_volume(slabs.series)
    assert np.array_equal(volume.voxels, source.voxels.reshape(3, 2, 16, 16).max(axis=1))
    assert volume.origin_mm == (0.0, 0.0, 2.0)
    assert volume.spacing_mm == (8.0, 4.0, 4.0)
    uids = list(sent.instances)
    for index, header in enumerate(headers):
        told = [item.ReferencedSOPInstanceUID for item in header.SourceImageSequence]
        assert told == uids[2 * index : 2 * index + 2]
        assert float(header.SliceThickness) == 8.0
        assert header.ImageType[3] == "MIP"
        assert header.DerivationCodeSequence[0].CodeMeaning == "Maximum intensity projection"

    planes = await _result(services, _request(sent.series, "multiplanar-reformat", request_id="r2"))
    volume, headers = await services.storage.read_volume(planes.series)
    assert np.array_equal(volume.voxels, source.voxels[::-1].transpose(1, 0, 2))
    assert [float(value) for value in headers[0].ImageOrientationPatient] == [1, 0, 0, 0, 0, -1]
    assert [float(value) for value in headers[3].ImagePositionPatient] == [0, 12, 20]
    assert all(
        {item.ReferencedSOPInstanceUID for item in header.SourceImageSequence} == set(uids) for header in headers
    )


async def test_coronal_planes_of_a_tilted_series_are_stored(services: Both) -> None:
    sent = _tilted_series()
    await services.send(sent)
    planes = await _result(services, _request(sent.series, "multiplanar-reformat", request_id="tilted"))
    volume, _ = await services.storage.read_volume(planes.series)
    assert volume.direction[2] == pytest.approx([1, 0, 0])
    assert volume.direction[1] == pytest.approx([0, 0, -1])
    assert len(planes.instances) == volume.voxels.shape[0]


def _tilted_series() -> CtSeries:
    """Tilted by 20 degrees about the patient's left-right axis."""
    plain = ct_series("tilted", slices=8, size=32)
    cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
    instances = {}
    for index, (uid, content) in enumerate(plain.instances.items()):
        dataset = dcmread(BytesIO(content))
        dataset.ImageOrientationPatient = [1, 0, 0, 0, cosine, sine]
        dataset.ImagePositionPatient = [0, -sine * 4 * index, cosine * 4 * index]
        instances[uid] = part10_bytes(dataset)
    return replace(plain, instances=instances)
