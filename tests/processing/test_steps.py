"""What each processing step does to voxels whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from imaging.errors import InvalidArgument, NotFound, VolumeRefused
from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.volume.volume import SourceFrame, Volume
from processing_svc.steps.noise_level import noise_level
from processing_svc.steps.registry import STEPS, step_named


def _nothing(done: int, total: int) -> None:
    pass


def _volume(voxels: Any, **changes: Any) -> Volume:
    array = np.asarray(voxels)
    plain = Volume(
        voxels=array,
        spacing_mm=(2.0, 1.0, 1.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.eye(3)[::-1],
        frames=tuple(SourceFrame(f"1.{index}", "1.2", 1) for index in range(array.shape[0])),
        units="[hnsf'U]",
        modality="CT",
    )
    return replace(plain, **changes)


def _noisy(sigma: float, dtype: Any = np.float32) -> Volume:
    """Two flat regions of 0 and 200 with noise."""
    values = np.zeros((6, 64, 64))
    values[:, :, 32:] = 200.0
    values += sigma * np.random.RandomState(5).standard_normal(values.shape)
    return _volume((np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype))


def _apply(name: str, volume: Volume, **parameters: Any) -> Volume:
    step = step_named(name)
    return step.apply(volume, step.parsed(parameters), _nothing)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_step_is_described_wholly(name: str) -> None:
    step = STEPS[name]
    assert step.name == name
    assert step.description.endswith(".")
    assert step.version
    schema = json.loads(step.parameters_schema())
    assert schema["additionalProperties"] is False
    assert all("description" in field for field in schema["properties"].values())
    derivation = step.derivation(step.parsed({}))
    assert derivation.image_type.isupper()
    assert len(derivation.series_suffix) <= 24


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_each_step_is_pure_and_repeats_itself(name: str, dtype: Any) -> None:
    volume = _noisy(10.0, dtype)
    before = volume.voxels.copy()
    first, second = _apply(name, volume), _apply(name, volume)
    assert np.array_equal(volume.voxels, before)
    assert np.array_equal(first.voxels, second.voxels)
    assert first.voxels.flags.c_contiguous
    assert len(first.frames) == first.voxels.shape[0]
    assert first.voxels.dtype in (np.int16, np.float32)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_step_tells_progress_to_the_end_and_can_be_ended(name: str) -> None:
    step, told = STEPS[name], []
    step.apply(_noisy(10.0), step.parsed({}), lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert told == sorted(told)

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        step.apply(_noisy(10.0), step.parsed({}), stop)


def test_an_unknown_step_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"clahe, denoise-median, .*, unsharp-mask, window"):
        step_named("sharpen")


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("resample-isotropic", {"spacing_mm": 0}, "spacing_mm"),
        ("resample-isotropic", {"spacing_mm": float("nan")}, "spacing_mm"),
        ("resample-isotropic", {"spacing": 1}, "spacing: Extra"),
        ("resample-isotropic", {"spacing_mm": "wide"}, "spacing_mm"),
        ("denoise-median", {"size_voxels": 4}, "size_voxels"),
        ("denoise-nlm", {"noise_sigma": -1}, "noise_sigma"),
        ("window", {"width": 0.5}, "width"),
        ("window", {"bits": 12}, "bits"),
    ],
)
def test_wrong_parameters_are_refused_by_name(name: str, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told) as refusal:
        step_named(name).parsed(parameters)
    assert "Known parameters" in refusal.value.hint


def test_whole_numbers_that_arrive_as_doubles_are_taken() -> None:
    assert step_named("denoise-median").parsed({"size_voxels": 5.0}).size_voxels == 5
    assert step_named("denoise-nlm").parsed({"patch_distance_voxels": 4.0}).patch_distance_voxels == 4


def test_parameters_in_the_algorithm_include_defaults_in_a_fixed_order() -> None:
    step = step_named("denoise-nlm")
    algorithm = step.algorithm(step.parsed({"strength": 1}))
    assert algorithm.text == (
        'denoise-nlm 1.1 {"noise_sigma": null, "patch_distance_voxels": 6, "patch_size_voxels": 5, "strength": 1.0}'
    )


def test_isotropic_resampling_keeps_volume_and_values_of_the_phantom() -> None:
    phantom, _ = ct_chest_phantom(spacing_mm=(6.0, 3.0, 4.0))
    cubes = _apply("resample-isotropic", phantom, spacing_mm=3.0)
    assert cubes.spacing_mm == (3.0, 3.0, 3.0)
    for low, high in ((-950, -700), (0, 100)):
        millilitres = [
            ((volume.voxels > low) & (volume.voxels < high)).sum() * volume.voxel_volume_mm3 / 1000
            for volume in (phantom, cubes)
        ]
        assert millilitres[1] == pytest.approx(millilitres[0], rel=0.08)


def test_the_median_equals_one_filter_over_the_whole_volume() -> None:
    voxels = np.random.RandomState(2).randint(-1000, 1000, (19, 12, 11)).astype(np.int16)
    expected = ndimage.median_filter(voxels, size=3, mode="nearest")
    assert np.array_equal(_apply("denoise-median", _volume(voxels)).voxels, expected)
    expected = ndimage.median_filter(voxels, size=7, mode="nearest")
    assert np.array_equal(_apply("denoise-median", _volume(voxels), size_voxels=7).voxels, expected)


def test_the_median_removes_a_single_bright_voxel_and_keeps_the_edge() -> None:
    voxels = np.zeros((5, 9, 9), dtype=np.int16)
    voxels[:, :, 5:] = 100
    spoiled = voxels.copy()
    spoiled[2, 4, 2] = 3000
    assert np.array_equal(_apply("denoise-median", _volume(spoiled)).voxels, voxels)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_non_local_means_takes_most_of_the_noise_and_keeps_the_edge(dtype: Any) -> None:
    noisy = _noisy(15.0, dtype)
    clean = _apply("denoise-nlm", noisy).voxels.astype(float)
    assert clean.dtype == float
    assert clean[:, 4:-4, 4:28].std() < 15.0 / 3
    assert clean[:, :, :32].mean() == pytest.approx(0, abs=2)
    assert clean[:, :, 32:].mean() == pytest.approx(200, abs=2)
    assert (clean[:, :, 33] - clean[:, :, 30]).mean() > 185


def test_non_local_means_leaves_a_volume_without_noise_as_it_is() -> None:
    voxels = np.zeros((3, 16, 16), dtype=np.int16)
    assert np.array_equal(_apply("denoise-nlm", _volume(voxels)).voxels, voxels)


@pytest.mark.parametrize("sigma", [2.0, 10.0, 50.0])
def test_the_noise_level_is_found_beside_edges_and_air_without_noise(sigma: float) -> None:
    voxels = _noisy(sigma).voxels.copy()
    voxels[:, :20, :] = -1000.0
    assert noise_level(voxels) == pytest.approx(sigma, rel=0.08)


def test_no_noise_level_without_noise() -> None:
    assert noise_level(np.zeros((2, 5, 5), dtype=np.int16)) == 0.0
    assert noise_level(np.zeros((0, 5, 5), dtype=np.int16)) == 0.0


@pytest.mark.parametrize(
    ("value", "expected"), [(-1000, 0.0), (-160, 0.0), (39.5, 0.5), (239, 1.0), (3000, 1.0), (-60, 0.2506266)]
)
def test_the_window_is_that_of_the_standard(value: float, expected: float) -> None:
    volume = _volume(np.full((2, 2, 2), value, dtype=np.float32))
    grey = _apply("window", volume, centre=40.0, width=400.0, bits=16)
    assert grey.voxels[0, 0, 0] / 65535 == pytest.approx(expected, abs=1e-5)


def test_a_window_of_width_one_is_a_threshold() -> None:
    volume = _volume(np.array([[[9.4, 9.5, 9.6]]], dtype=np.float32))
    assert _apply("window", volume, centre=10.0, width=1.0).voxels.ravel().tolist() == [0, 0, 255]


@given(centre=st.floats(-1000, 1000), width=st.floats(1, 4000), bits=st.sampled_from([8, 16]))
@settings(max_examples=40, deadline=None)
def test_grey_levels_rise_with_the_value_and_fill_their_range(centre: float, width: float, bits: int) -> None:
    ramp = np.linspace(-6000, 6000, 240).reshape(2, 10, 12).astype(np.float32)
    grey = _apply("window", _volume(ramp), centre=centre, width=width, bits=bits)
    levels = grey.voxels.ravel().astype(float)
    assert (np.diff(levels) >= 0).all()
    assert (levels[0], levels[-1]) == (0.0, 2.0**bits - 1)
    assert np.array_equal(levels, np.rint(levels))
    assert grey.units == "1"
    assert grey.voxels.dtype == (np.int16 if bits == 8 else np.float32)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_total_variation_takes_most_of_the_noise_and_keeps_the_edge(dtype: Any) -> None:
    clean = _apply("denoise-tv", _noisy(15.0, dtype)).voxels.astype(float)
    assert clean[:, 4:-4, 4:28].std() < 15.0 / 3
    assert clean[:, :, :28].mean() == pytest.approx(0, abs=3)
    assert clean[:, :, 36:].mean() == pytest.approx(200, abs=3)
    assert (clean[:, :, 34] - clean[:, :, 29]).mean() > 180


def test_total_variation_of_a_step_is_the_known_one() -> None:
    # The minimum of TV + |u - f|^2 / (2 w) of a step between two halves of n columns moves each half by w / n.
    step = np.zeros((1, 8, 40))
    step[:, :, 20:] = 100.0
    found = _apply(
        "denoise-tv", _volume(step.astype(np.float32)), noise_sigma=20.0, tolerance=1e-12, max_iterations=2000
    ).voxels
    assert found[0, 4, 2] == pytest.approx(20.0 / 20, rel=0.1)
    assert found[0, 4, -3] == pytest.approx(100 - 20.0 / 20, rel=0.01)


def test_the_unsharp_mask_adds_the_difference_to_the_gaussian() -> None:
    values = np.random.RandomState(4).normal(0, 100, (2, 30, 30)).astype(np.float32)
    volume = _volume(values, spacing_mm=(3.0, 0.5, 1.0))
    found = _apply("unsharp-mask", volume, radius_mm=1.0, amount=2.0).voxels
    blurred = ndimage.gaussian_filter(values.astype(float), sigma=(0, 2.0, 1.0), mode="reflect")
    assert np.allclose(found, values + 2.0 * (values - blurred), atol=1e-2)
    flat = _volume(np.full((2, 9, 9), 77, dtype=np.int16))
    assert np.array_equal(_apply("unsharp-mask", flat).voxels, flat.voxels)


def test_an_unsharp_mask_of_more_than_half_a_slice_is_refused() -> None:
    with pytest.raises(VolumeRefused, match="more than half a slice"):
        _apply("unsharp-mask", _volume(np.zeros((2, 10, 10), np.int16)), radius_mm=50.0)


def test_the_unsharp_mask_stays_within_16_bits() -> None:
    voxels = np.full((1, 9, 9), -32768, dtype=np.int16)
    voxels[0, 4, 4] = 32767
    found = _apply("unsharp-mask", _volume(voxels), amount=20.0).voxels
    assert (found.min(), found.max()) == (-32768, 32767)


def test_clahe_spreads_a_weak_contrast_and_keeps_the_order_within_a_tile() -> None:
    weak = np.zeros((2, 64, 64), dtype=np.float32)
    weak[:, 8:24, 8:24] = 5.0
    weak += np.random.RandomState(6).normal(0, 1.0, weak.shape)
    weak[:, :, 60:] = 1000.0
    grey = _apply("clahe", _volume(weak), lowest=-20, highest=1000, clip_limit=0.05).voxels.astype(float)
    assert (grey.min(), grey.max()) >= (0, 1)
    assert grey.max() <= 4095
    plain = 4095 * 5 / 1020
    spread = grey[:, 10:22, 10:22].mean() - grey[:, 10:22, 30:42].mean()
    assert spread > 10 * plain
    low = _apply("clahe", _volume(np.full((1, 8, 8), 3, dtype=np.int16)))
    assert (low.voxels == 0).all()
    assert low.units == "1"


def test_clahe_keeps_black_and_white_where_they_were_asked_for() -> None:
    values = np.random.RandomState(7).normal(100, 1.0, (2, 32, 32)).astype(np.float32)
    values[1, 16:] = 900.0
    grey = _apply("clahe", _volume(values), lowest=0, highest=1000).voxels
    expected = np.rint([[plane.min() * 4.095, plane.max() * 4.095] for plane in values])
    assert np.abs(expected - [[plane.min(), plane.max()] for plane in grey]).max() <= 1


@pytest.mark.parametrize("limit", [{"lowest": 99.0}, {"highest": 0.0}])
def test_clahe_refuses_a_range_without_values(limit: dict[str, float]) -> None:
    ramp = np.tile(np.linspace(0, 99, 32), (1, 32, 1)).astype(np.float32)
    with pytest.raises(VolumeRefused, match="nothing between"):
        _apply("clahe", _volume(ramp), **limit)


def test_padding_takes_no_part_in_clahe_and_is_black() -> None:
    values = np.full((1, 32, 32), 5000, dtype=np.int16)
    values[0, 8:24, 8:24] = np.arange(256).reshape(16, 16)
    inside = values < 5000
    padded = replace(_volume(values), attributes={"PixelPaddingValue": "5000"})
    low, high = np.percentile(values[0, 8:24:2, 8:24:2], (0.5, 99.5))
    filled = np.pad(values[:, 8:24, 8:24], ((0, 0), (8, 8), (8, 8)), mode="edge")
    given = _apply("clahe", _volume(filled), lowest=low, highest=high).voxels
    found = _apply("clahe", padded).voxels
    assert np.array_equal(found[inside], given[inside])
    assert (found[~inside] == 0).all()


def test_clahe_makes_no_tile_smaller_than_8_pixels() -> None:
    volume = _volume(np.random.RandomState(8).normal(0, 100, (1, 48, 48)).astype(np.float32))
    assert np.array_equal(_apply("clahe", volume, tile_mm=1).voxels, _apply("clahe", volume, tile_mm=8).voxels)


def test_clahe_leaves_even_grey_levels_nearly_even() -> None:
    ramp = np.tile(np.linspace(0, 1000, 64), (1, 64, 1)).astype(np.float32)
    grey = _apply("clahe", _volume(ramp), lowest=0, highest=1000, tile_mm=64, clip_limit=1.0).voxels[0].astype(float)
    assert np.abs(grey - ramp[0] * 4.095).max() < 4095 * 0.06


def _disc_in_padding(shape: tuple[int, int, int] = (4, 48, 48)) -> tuple[Volume, Any]:
    """A disc of 40 with a rim of padding at -2000, and where the disc is."""
    rows, columns = np.indices(shape[1:]) - (shape[1] - 1) / 2
    disc = np.broadcast_to(rows**2 + columns**2 <= (shape[1] * 0.45) ** 2, shape)
    voxels = np.where(disc, 40, -2000).astype(np.int16)
    return _volume(voxels, spacing_mm=(1.0, 1.0, 1.0), attributes={"PixelPaddingValue": "-2000"}), disc


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("unsharp-mask", {}),
        ("denoise-tv", {"noise_sigma": 10}),
        ("denoise-nlm", {}),
        ("denoise-median", {}),
        ("denoise-median", {"size_voxels": 7}),
    ],
)
def test_padding_stays_and_is_no_edge_to_sharpen_or_to_smooth(name: str, parameters: dict[str, Any]) -> None:
    volume, disc = _disc_in_padding()
    found = _apply(name, volume, **parameters).voxels
    assert np.unique(found[disc]).tolist() == [40]
    assert np.unique(found[~disc]).tolist() == [-2000]


def test_a_slice_of_padding_alone_stays_as_it_is() -> None:
    volume = _volume(np.full((2, 16, 16), -2000, np.int16), attributes={"PixelPaddingValue": "-2000"})
    assert (_apply("unsharp-mask", volume).voxels == -2000).all()


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_median_beside_padding_is_that_of_the_others(size: int, dtype: Any) -> None:
    random = np.random.RandomState(9)
    voxels = random.normal(0, 100, (10, 9, 8)).astype(dtype)
    padded = random.uniform(size=voxels.shape) < 0.2
    padded[:, :, 6:] = True
    voxels[padded] = 3000
    found = _apply("denoise-median", _volume(voxels, attributes={"PixelPaddingValue": "3000"}), size_voxels=size).voxels
    reach = size // 2
    values = np.pad(np.where(padded, np.nan, voxels.astype(np.float64)), reach, mode="edge")
    cubes = np.lib.stride_tricks.sliding_window_view(values, (size,) * 3).reshape(*voxels.shape, -1)
    expected = np.nanmedian(cubes[~padded], axis=1)
    assert np.array_equal(found[~padded], np.rint(expected) if dtype is np.int16 else expected.astype(dtype))
    assert (found[padded] == 3000).all()


def test_padding_is_black_in_a_window_whatever_its_value() -> None:
    voxels = np.array([[[40, 3000], [240, -160]]], np.int16)
    assert _apply("window", _volume(voxels, attributes={"PixelPaddingValue": "3000"})).voxels.tolist() == [
        [[128, 0], [255, 0]]
    ]


@pytest.mark.parametrize("padding", [-2000, 3000])
def test_what_has_a_part_of_padding_is_padding_on_cubic_voxels(padding: int) -> None:
    volume, disc = _disc_in_padding((6, 40, 40))
    voxels = np.where(disc, 40, padding).astype(np.int16)
    volume = replace(volume, voxels=voxels, attributes={"PixelPaddingValue": str(padding)}, spacing_mm=(2.0, 1.0, 1.0))
    new = _apply("resample-isotropic", volume, spacing_mm=0.7)
    assert np.unique(new.voxels).tolist() == sorted([40, padding])
    assert (new.voxels == 40).sum() * new.voxel_volume_mm3 == pytest.approx(disc.sum() * 2.0, rel=0.15)
    assert new.attributes["PixelPaddingValue"] == str(padding)
