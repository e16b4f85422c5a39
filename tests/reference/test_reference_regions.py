"""Real segmentations and structure sets of known sizes, when they are at hand (see test_reference_series)."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from analysis_svc.radiomics.intensity_statistics import intensity_statistics
from analysis_svc.regions.segmentation_regions import SegmentationRegions
from analysis_svc.regions.structure_set_regions import structure_set_regions
from imaging.volume.assemble import assemble
from imaging.volume.frame_headers import frame_headers
from imaging.volume.volume import Volume
from tests.analysis.ibsi_digital_phantom import CONSENSUS, MASK, VOXELS

DATA = Path(os.environ.get("REFERENCE_DATA", "/nonexistent"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="REFERENCE_DATA names no folder of reference series")


def read_datasets(folder: str) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted((DATA / folder).glob("*.dcm"))]


def read_volume(folder: str, *, min_slices: int = 2) -> Volume:
    frames: list[Any] = []
    for dataset in read_datasets(folder):
        pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        frames += zip(frame_headers(dataset), pixels, strict=True)
    return assemble(frames, min_slices=min_slices)


def _known(path: str) -> Any:
    return json.loads((DATA / path).read_text())


@pytest.mark.parametrize("modality", ["ct", "mr-t1", "pet"])
def test_the_tumour_of_the_sarcoma_has_its_volume(modality: str) -> None:
    known = _known("ibsi-sts-001/reference/rtstruct-volumes.json")[modality]
    (structures,) = read_datasets(f"ibsi-sts-001/{modality}-rtstruct")
    volume = read_volume(f"ibsi-sts-001/{modality}")
    regions, refusals = structure_set_regions(structures, volume)
    assert refusals == []
    name = next(key for key in known if not key.startswith("_"))
    (tumour,) = [region for region in regions if region.label == name]
    millilitres = tumour.voxel_count * volume.voxel_volume_mm3 / 1000
    assert millilitres == pytest.approx(known["_nifti_mask"]["volume_ml"], rel=0.005)


@pytest.mark.parametrize("structure", ["Heart", "Lt Lung", "BODY"])
def test_organs_of_the_breast_plan_have_their_volumes(structure: str) -> None:
    known = _known("dicompyler-rt-breast/reference/dvh.json")["structures"]
    (structures,) = read_datasets("dicompyler-rt-breast/rtstruct")
    (number,) = [item.ROINumber for item in structures.StructureSetROISequence if item.ROIName == structure]
    structures.ROIContourSequence = [
        item for item in structures.ROIContourSequence if item.ReferencedROINumber == number
    ]
    volume = _grid_of_contours(structures.ROIContourSequence[0])
    (region,), refusals = structure_set_regions(structures, volume)
    assert refusals == []
    centimetres = region.voxel_count * volume.voxel_volume_mm3 / 1000
    assert centimetres == pytest.approx(known[structure]["volume_cm3"], rel=0.005)


def _grid_of_contours(item: Dataset) -> Volume:
    """The one image of the plan, repeated on each plane of a structure: the others were not kept by the source."""
    one = read_volume("dicompyler-rt-breast/ct", min_slices=1)
    planes = sorted({round(float(contour.ContourData[2]), 3) for contour in item.ContourSequence})
    step = float(np.min(np.diff(planes)))
    count = round((planes[-1] - planes[0]) / step) + 1
    return replace(
        one,
        voxels=np.broadcast_to(one.voxels, (count, *one.voxels.shape[1:])),
        spacing_mm=(step, *one.spacing_mm[1:]),
        origin_mm=(*one.origin_mm[:2], planes[0]),
        frames=one.frames * count,
    )


def test_the_liver_has_its_voxels_and_its_density() -> None:
    known = _known("dcmqi/reference/liver-seg.json")
    volume = read_volume("dcmqi/ct-3slice")
    (dataset,) = read_datasets("dcmqi/seg-liver")
    gathered = SegmentationRegions(dataset, volume)
    for number, frame in enumerate(dataset.pixel_array, start=1):
        gathered.add(number, frame)
    (liver,), refusals = gathered.regions()
    assert refusals == []
    assert liver.voxel_count == known["voxels"]
    told = {feature.code: feature.value for feature in intensity_statistics(volume.voxels[liver.box][liver.mask])}
    assert told["Q4LE"] == pytest.approx(known["hu_mean"], abs=1e-3)
    assert told["ECT3"] ** 0.5 == pytest.approx(known["hu_std"], abs=1e-3)


def test_the_digital_phantom_as_dicom_gives_the_consensus() -> None:
    volume = read_volume("ibsi1-digital-phantom/image")
    (dataset,) = read_datasets("ibsi1-digital-phantom/seg")
    gathered = SegmentationRegions(dataset, volume)
    for number, frame in enumerate(dataset.pixel_array, start=1):
        gathered.add(number, frame)
    (region,), refusals = gathered.regions()
    assert refusals == []
    assert np.array_equal(volume.voxels, VOXELS.transpose(1, 0, 2))  # that file has its slices along another axis
    assert region.voxel_count == MASK.sum()
    for feature in intensity_statistics(volume.voxels[region.box][region.mask]):
        assert CONSENSUS[feature.code].agrees(feature.value), feature.meaning
