"""The gate before segmentations: every voxel comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from analysis_svc.segmentation import SegmentationMaker, segmentation
from analysis_svc.segmentation_readback import differences
from imaging.derived.deterministic import part10_bytes
from imaging.errors import ObjectRefused
from imaging.gate.check import check_object
from imaging.phantom.ct_series import phantom_datasets
from tests.gate.made_objects import (
    WHEN,
    damaged,
    outgoing_segmentation,
    phantom_masks,
    phantom_segmentation,
    phantom_series,
)


def test_frames_of_a_segmentation_that_begin_within_a_byte_come_back_as_well() -> None:
    voxels = np.zeros((4, 5, 7), dtype=np.float32)  # 35 pixels a frame
    volume = replace(phantom_series()[0], voxels=voxels, frames=phantom_series()[0].frames[:4])
    mask = replace(phantom_masks()[0], voxels=np.random.default_rng(0).random(voxels.shape) > 0.5)
    maker = SegmentationMaker("test-model", "1.0", ("digest",), WHEN)
    made = segmentation((mask,), volume, tuple(phantom_datasets(volume)), maker)
    assert made is not None
    assert made.NumberOfFrames == 4
    assert differences(dcmread(BytesIO(part10_bytes(made))), (mask,), volume) == []


def test_a_segmentation_comes_back_voxel_for_voxel() -> None:
    passed = check_object(outgoing_segmentation(phantom_segmentation()))
    assert passed.compared["content"] == 1
    assert passed.compared["places"] == 5  # four slices of the one and one of the other
    assert passed.largest_deviation_mm == 0.0


def _swap_frames(dataset: Dataset) -> None:
    groups = dataset.PerFrameFunctionalGroupsSequence
    places = [group.PlanePositionSequence for group in groups]
    groups[0].PlanePositionSequence, groups[1].PlanePositionSequence = places[1], places[0]


def _mirror(dataset: Dataset) -> None:
    pixels = np.packbits(dataset.pixel_array[:, :, ::-1].ravel(), bitorder="little").tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.SegmentSequence[0].__delattr__("SegmentLabel"), "SegmentSequence[1].SegmentLabel (type 1)"),
        (_swap_frames, "places: frame 1 lies 3.000 mm away"),
        (_mirror, "content: segment 1 was made of 1200 voxels"),
        (
            lambda d: d.PerFrameFunctionalGroupsSequence[2].__delattr__("PlanePositionSequence"),
            "places: frame 3 tells no place",
        ),
    ],
)
def test_a_damaged_segmentation_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    with pytest.raises(ObjectRefused) as refused:
        check_object(outgoing_segmentation(damaged(phantom_segmentation(), damage)))
    assert told in refused.value.text
