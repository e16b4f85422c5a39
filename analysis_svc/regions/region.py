"""A part of a volume that somebody has drawn, and all such parts of a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Refusal, SegmentReference
from imaging.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class Region:
    """The voxels of one thing, on the grid of the volume."""

    label: str
    """Unique within a series, at most 64 characters."""

    box: tuple[slice, slice, slice]
    """The smallest part of the volume that holds the region, axes (slice, row, column)."""

    mask: NDArray[np.bool_]
    """Shape of the box; at least one voxel."""

    finding_type: Code = concepts.IMAGE_REGION
    site: Code | None = None
    segment: SegmentReference | None = None
    """None for a region of a structure set."""

    @property
    def voxel_count(self) -> int:
        """How many voxels are inside."""
        return int(np.count_nonzero(self.mask))

    @property
    def widest_slice(self) -> int:
        """Index of the slice of the volume with the most voxels."""
        return int(self.box[0].start) + int(self.mask.sum(axis=(1, 2)).argmax())


@dataclass(frozen=True, slots=True)
class SegmentedVolume:
    """A volume with the regions that were found for it."""

    volume: Volume
    regions: tuple[Region, ...]
    refusals: tuple[Refusal, ...] = ()
    """Regions that cannot be laid over the volume truly, and why."""

    headers: tuple[Dataset, ...] = ()
    """Of the images, in the order of the slices, without pixel data."""


def region_of_planes(
    planes: Sequence[tuple[int, NDArray[np.bool_]]],
) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]] | None:
    """Box and mask of a region out of its slices; None if no voxel is inside.

    Parameters
    ----------
    planes
        Index of the slice in the volume and its mask of shape (rows, columns); the same slice may come again.
    """
    filled = [(index, mask) for index, mask in planes if mask.any()]
    if not filled:
        return None
    first, last = min(index for index, _ in filled), max(index for index, _ in filled)
    rows = np.flatnonzero(np.logical_or.reduce([mask.any(axis=1) for _, mask in filled]))
    columns = np.flatnonzero(np.logical_or.reduce([mask.any(axis=0) for _, mask in filled]))
    box = (slice(first, last + 1), slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    mask = np.zeros(tuple(part.stop - part.start for part in box), dtype=np.bool_)
    for index, plane in filled:
        mask[index - first] |= plane[box[1:]]
    return box, mask
