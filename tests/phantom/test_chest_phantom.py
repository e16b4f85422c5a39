"""The phantom is what its truth says."""

from __future__ import annotations

import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from scipy import ndimage, stats

from imaging.phantom import ct_chest
from imaging.phantom.ct_chest import chest_grid, ct_chest_phantom
from imaging.phantom.ct_series import write_phantom
from imaging.phantom.shape import Column, Ellipsoid, Grid, coverage
from imaging.phantom.truth import Component, PhantomTruth, fraction_below, percentile
from imaging.volume.volume import Volume

COARSE = (6.0, 5.0, 4.0)


@pytest.fixture(scope="module")
def chest() -> tuple[Volume, PhantomTruth]:
    return ct_chest_phantom()


def _lung_mask(volume: Volume) -> NDArray[np.bool_]:
    filled = np.zeros(volume.voxels.shape)
    for lung in ct_chest.LUNGS.values():
        box, fraction = coverage(lung, chest_grid())
        filled[box] += fraction
    for lesion in ct_chest.LESIONS.values():
        box, fraction = coverage(lesion, chest_grid())
        filled[box] -= fraction
    return filled > 0.5


def test_coverage_sums_to_the_exact_volume() -> None:
    grid = Grid((40, 50, 60), (1.5, 1.0, 0.8))
    for shape in (
        Ellipsoid((1.3, -2.2, 0.7), (9.0, 12.0, 15.0), turn_degrees=25.0),
        Column((3.1, 2.7), (8.0, 5.0), (-7.5, 15.0)),
        Column((3.1, 2.7), (8.0, 5.0), (-7.5, 15.0), rectangular=True),
    ):
        _, fraction = coverage(shape, grid)
        assert fraction.sum() * np.prod(grid.spacing_mm) == pytest.approx(shape.volume_mm3, rel=3e-3)


def test_coverage_of_a_shape_that_leaves_the_grid_is_cut_off() -> None:
    grid = Grid((4, 4, 4), (1.0, 1.0, 1.0))
    box, fraction = coverage(Ellipsoid((0.0, 0.0, 0.0), (50.0, 50.0, 50.0)), grid)
    assert box == (slice(0, 4),) * 3
    assert (fraction == 1).all()


def test_every_shape_lies_wholly_inside_the_one_that_it_covers() -> None:
    grid = Grid(chest_grid().shape, chest_grid().spacing_mm)

    def mask(shape: Ellipsoid | Column) -> NDArray[np.bool_]:
        filled = np.zeros(grid.shape, dtype=bool)
        box, fraction = coverage(shape, grid, samples=3)
        filled[box] = fraction > 0
        return filled

    inner = mask(ct_chest.INNER_BODY)
    lungs = [mask(lung) for lung in ct_chest.LUNGS.values()]
    inside = [mask(shape) for shape in (*ct_chest.LESIONS.values(), *ct_chest.EMPHYSEMA)]
    for first, second in combinations([*lungs, mask(ct_chest.SPINE), mask(ct_chest.TRACHEA)], 2):
        assert not (first & second).any()
    for first, second in combinations(inside, 2):
        assert not (first & second).any()
    assert not (lungs[0] & ~inner).any()
    assert not (lungs[1] & ~inner).any()
    for shape in inside:
        assert (shape & ~lungs[0]).sum() == 0 or (shape & ~lungs[1]).sum() == 0
    assert not (mask(ct_chest.TABLE) & mask(ct_chest.BODY)).any()


def test_lesions_found_by_a_threshold_have_the_true_volume_and_long_axis(chest: tuple[Volume, PhantomTruth]) -> None:
    volume, truth = chest
    labels, _ = ndimage.label(volume.voxels > -420)
    for lesion in truth.lesions:
        place = np.subtract(lesion.centre_mm, volume.origin_mm)[::-1] / volume.spacing_mm
        lesion_mask = labels == labels[tuple(np.rint(place).astype(int))]
        assert lesion_mask.sum() * volume.voxel_volume_mm3 == pytest.approx(lesion.volume_mm3, rel=0.02)
        inside = np.argwhere(lesion_mask) * volume.spacing_mm
        reach = np.sqrt(((inside[:, None, :] - inside[None, ::7, :]) ** 2).sum(-1)).max()
        assert reach == pytest.approx(lesion.long_axis_mm, abs=max(volume.spacing_mm))


def test_lung_volume_and_emphysema_indices_are_the_true_ones(chest: tuple[Volume, PhantomTruth]) -> None:
    volume, truth = chest
    mask = _lung_mask(volume)
    values = volume.voxels[mask]
    assert mask.sum() * volume.voxel_volume_mm3 == pytest.approx(truth.lung_volume_mm3, rel=0.005)
    assert (values < -950).mean() * 100 == pytest.approx(truth.laa_950_percent, abs=0.3)
    assert np.percentile(values, 15) == pytest.approx(truth.perc15_hu, abs=2)


def test_tissues_by_hounsfield_windows_are_within_two_percent(chest: tuple[Volume, PhantomTruth]) -> None:
    volume, truth = chest
    labels, _ = ndimage.label(volume.voxels > -500)
    body = labels == labels[volume.voxels.shape[0] // 2, 9, volume.voxels.shape[2] // 2]
    for low, high, expected in (
        (-190, -30, truth.fat_volume_mm3),
        (-30, 150, truth.soft_tissue_volume_mm3),
        (150, 3000, truth.bone_volume_mm3),
    ):
        found = ((volume.voxels > low) & (volume.voxels <= high) & body).sum() * volume.voxel_volume_mm3
        assert found == pytest.approx(expected, rel=0.02)


def test_the_noise_is_as_told(chest: tuple[Volume, PhantomTruth]) -> None:
    volume, truth = chest
    heart = volume.voxels[10:30, 80:95, 115:135]
    assert heart.std() == pytest.approx(truth.noise_hu, rel=0.05)
    assert heart.mean() == pytest.approx(truth.soft_tissue_hu, abs=0.5)


def test_the_same_seed_gives_the_same_voxels_and_another_one_does_not() -> None:
    first, second, other = (ct_chest_phantom(seed, COARSE)[0] for seed in (3, 3, 4))
    assert np.array_equal(first.voxels, second.voxels)
    assert first.frames == second.frames
    assert not np.array_equal(first.voxels, other.voxels)
    assert first.series_instance_uid != other.series_instance_uid


def test_written_series_reads_back_as_the_volume(tmp_path: Path) -> None:
    truth = write_phantom(tmp_path / "new" / "folder", spacing_mm=COARSE)
    volume, same_truth = ct_chest_phantom(spacing_mm=COARSE)
    assert truth == same_truth
    files = sorted((tmp_path / "new" / "folder").iterdir())
    datasets = [dcmread(file) for file in files]
    assert len(datasets) == volume.voxels.shape[0]
    assert [int(dataset.InstanceNumber) for dataset in datasets] == list(range(1, len(datasets) + 1))
    for dataset, index in zip(datasets, reversed(range(len(datasets))), strict=True):
        assert np.array_equal(dataset.pixel_array.astype(int) - 1024, volume.voxels[index])
        corner = volume.to_patient_mm(np.array([[index, 0.0, 0.0]]))[0]
        assert np.allclose([float(value) for value in dataset.ImagePositionPatient], corner)
        assert dataset.SOPInstanceUID == volume.frames[index].sop_instance_uid


def test_written_bytes_repeat(tmp_path: Path) -> None:
    write_phantom(tmp_path / "a", spacing_mm=COARSE)
    write_phantom(tmp_path / "b", spacing_mm=COARSE)
    assert [file.read_bytes() for file in sorted((tmp_path / "a").iterdir())] == [
        file.read_bytes() for file in sorted((tmp_path / "b").iterdir())
    ]


def test_the_whole_series_is_under_twelve_megabytes(chest: tuple[Volume, PhantomTruth]) -> None:
    volume, _ = chest
    assert volume.voxels.nbytes + 2_000 * len(volume.frames) < 12_000_000


@pytest.mark.peers
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy of the package dicom3tools is not installed")
    write_phantom(tmp_path, spacing_mm=COARSE)
    told = subprocess.run([program, str(tmp_path / "slice-001.dcm")], capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert "CTImage" in lines
    assert [line for line in lines if line.startswith("Error")] == []


def test_mixture_measures_agree_with_scipy() -> None:
    mixture = (Component(3.0, -870.0, 20.0), Component(1.0, -985.0, 10.0))
    expected = 0.75 * stats.norm.cdf(-950, -870, 20) + 0.25 * stats.norm.cdf(-950, -985, 10)
    assert fraction_below(-950.0, mixture) == pytest.approx(expected)
    assert fraction_below(percentile(0.15, mixture), mixture) == pytest.approx(0.15, abs=1e-6)


def test_the_truth_goes_into_json_as_plain_values(chest: tuple[Volume, PhantomTruth]) -> None:
    plain = chest[1].as_dict()
    assert plain["lesions"][0]["name"] == "left sphere"
    assert isinstance(plain["laa_950_percent"], float)
