"""The segments of a written segmentation, read back and laid over the volume, against the masks that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from analysis_svc.measurement import Mask
from analysis_svc.regions.segmentation_regions import SegmentationRegions
from analysis_svc.segmentation import segment_numbers
from imaging.codecs.packed_bits import packed_bits
from imaging.volume.volume import Volume


def differences(dataset: Dataset, masks: Sequence[Mask], volume: Volume) -> list[str]:
    """What is not as it was made, in sentences; none if each voxel of each mask came back.

    Parameters
    ----------
    dataset
        As it was read from its bytes.
    masks, volume
        What it was made of.
    """
    reader = SegmentationRegions(dataset, volume)
    for frame_number, plane in enumerate(_planes(dataset), start=1):
        reader.add(frame_number, plane)
    regions, refusals = reader.regions()
    faults = [f"{refusal.subject} cannot be laid over the images: {refusal.message}" for refusal in refusals]
    found = {region.segment.segment_number: region for region in regions if region.segment is not None}
    for mask in masks:
        number = segment_numbers(masks).get(mask.label)
        if number is None:
            continue
        region = found.get(number)
        voxels = int(np.count_nonzero(mask.voxels))
        if region is None or region.voxel_count != voxels or not np.array_equal(mask.voxels[region.box], region.mask):
            came_back = 0 if region is None else region.voxel_count
            faults.append(f"segment {number} was made of {voxels} voxels, and {came_back} came back, or others")
    return faults


def _planes(dataset: Dataset) -> Iterator[NDArray[np.uint8]]:
    """The frames one by one, which may begin within a byte; all at once they would take eight times their bytes."""
    packed = np.frombuffer(dataset.PixelData, np.uint8)
    shape = (int(dataset.Rows), int(dataset.Columns))
    size = shape[0] * shape[1]
    for number in range(int(dataset.NumberOfFrames)):
        yield packed_bits(packed, number * size, size).reshape(shape)
