"""The segments of a DICOM Segmentation as regions of a volume (PS3.3 A.51)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Refusal, SegmentReference
from analysis_svc.regions.grid_match import slice_of_frame
from analysis_svc.regions.region import Region, region_of_planes
from imaging.dicom.background_segment import is_background
from imaging.dicom.header_value import first_item, first_number, items, numbers, text
from imaging.errors import VolumeRefused
from imaging.render.functional_groups import functional_group
from imaging.volume.volume import Volume

SOP_CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage, Label Map Segmentation Storage."""


class SegmentationRegions:
    """Gathers the segments of one segmentation, frame by frame.

    A segment of which one frame cannot be laid over the volume is refused as a whole: the rest of it would be a wrong
    region.

    Parameters
    ----------
    header
        Of the segmentation; pixel data is not needed.
    volume
        That is measured.
    """

    def __init__(self, header: Dataset, volume: Volume) -> None:
        self._header = header
        self._volume = volume
        self._shape = int(first_number(header, "Rows") or 0), int(first_number(header, "Columns") or 0)
        self._kind = text(header, "SegmentationType").upper()
        self._segments = {
            int(first_number(item, "SegmentNumber") or 0): item
            for item in items(header, "SegmentSequence")
            if not is_background(header, item)
        }
        # FRACTIONAL ones hold 0 to this; half of it and more counts as inside (PS3.3 C.8.20.2.3).
        self._threshold = max(1, (int(first_number(header, "MaximumFractionalValue") or 1) + 1) // 2)
        self._planes: dict[int, list[tuple[int, NDArray[np.bool_]]]] = {}
        self._refused: dict[int, VolumeRefused] = {}

    def add(self, frame_number: int, pixels: NDArray[Any]) -> None:
        """Take a frame.

        Parameters
        ----------
        frame_number
            Counts from 1.
        pixels
            Stored values, shape (rows, columns).
        """
        masks = self._masks(frame_number, pixels)
        try:
            index = self._slice(frame_number)
        except VolumeRefused as error:
            for number in masks:
                self._refused.setdefault(number, error)
            return
        for number, mask in masks.items():
            self._planes.setdefault(number, []).append((index, mask))

    def regions(self) -> tuple[list[Region], list[Refusal]]:
        """The segments in the order of their numbers, and those that cannot be measured."""
        uid = text(self._header, "SOPInstanceUID")
        found, refusals = [], []
        for number, item in sorted(self._segments.items()):
            if number in self._refused:
                error = self._refused[number]
                subject = f"segment {number} of segmentation {uid}"
                refusals.append(Refusal(subject, error.metadata["rule"], error.what, error.hint))
                continue
            placed = region_of_planes(self._planes.get(number, ()))
            if placed is not None:
                found.append(
                    Region(
                        label=text(item, "SegmentLabel")[:64] or f"Segment {number}",
                        box=placed[0],
                        mask=placed[1],
                        finding_type=_code(first_item(item, "SegmentedPropertyTypeCodeSequence"))
                        or concepts.IMAGE_REGION,
                        site=_code(first_item(item, "AnatomicRegionSequence")),
                        segment=SegmentReference(uid, number),
                    )
                )
        return found, refusals

    def _masks(self, frame_number: int, pixels: NDArray[Any]) -> Mapping[int, NDArray[np.bool_]]:
        if self._kind == "LABELMAP":
            numbers_there = np.unique(pixels)
            return {int(number): pixels == number for number in numbers_there if int(number) in self._segments}
        identification = functional_group(self._header, frame_number, "SegmentIdentificationSequence")
        number = int(first_number(identification, "ReferencedSegmentNumber") or 0)
        mask = pixels >= self._threshold
        # A frame without a voxel says nothing, wherever it lies.
        return {number: mask} if number in self._segments and mask.any() else {}

    def _slice(self, frame_number: int) -> int:
        position = numbers(
            functional_group(self._header, frame_number, "PlanePositionSequence"), "ImagePositionPatient"
        )
        orientation = numbers(
            functional_group(self._header, frame_number, "PlaneOrientationSequence"), "ImageOrientationPatient"
        )
        spacing = numbers(functional_group(self._header, frame_number, "PixelMeasuresSequence"), "PixelSpacing")
        if (
            position is None
            or orientation is None
            or spacing is None
            or (len(position), len(orientation), len(spacing)) != (3, 6, 2)
        ):
            raise VolumeRefused(
                "A frame tells no place in the patient",
                hint="Correct the sender: position, orientation and pixel spacing must be there.",
                metadata={"rule": "MISSING_GEOMETRY"},
            )
        return slice_of_frame(self._volume, position, orientation, spacing, self._shape)


def _code(item: Dataset | None) -> Code | None:
    value, scheme, meaning = (text(item, name) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    return Code(value, scheme, meaning[:64]) if value and scheme and meaning else None
