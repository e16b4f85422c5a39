"""Finds for each thing the frame that shows it, its outline there, and its axes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from imaging.client.storage import StorageClient
from imaging.dicom.header_value import first_number
from imaging.errors import (
    ChecksumMismatch,
    DataLoss,
    FailedPrecondition,
    ImagingError,
    Internal,
    InvalidArgument,
    NotFound,
)
from imaging.storage.v1 import storage_service_pb2
from reporting_svc.content.report_content import FindingGroup, ImagePlace, SourceFrame
from reporting_svc.dicom.evidence import StoredInstance, group_frames
from reporting_svc.key_images.image_plane import ImagePlane
from reporting_svc.key_images.segmentation_index import SegmentationIndex
from reporting_svc.places.outline import frame_outline, mask_outline

_LASTING: Final = (InvalidArgument, NotFound, DataLoss, ChecksumMismatch, FailedPrecondition, Internal)
"""What the same call would meet again: the thing is told without its place then."""

_CENTRE: Final = 0.5
"""Of a pixel, from its corner (PS3.3 C.18.6)."""


class PlaceFinder:
    """Reads each header once, and of segmentations only the frames that are outlined."""

    def __init__(self, storage: StorageClient, segmentations: Mapping[str, StoredInstance]) -> None:
        self._storage = storage
        self._segmentations = segmentations
        self._headers: dict[str, Dataset | None] = {}
        self._indexes: dict[str, SegmentationIndex | None] = {}

    async def placed(self, groups: Sequence[FindingGroup]) -> tuple[FindingGroup, ...]:
        """The groups with their places, where these can be found."""
        return tuple([await self._placed(group) for group in groups])

    async def _placed(self, group: FindingGroup) -> FindingGroup:
        frame = group.best_frame
        if frame is None or frame not in group_frames(group):
            return group
        header = await self._header(f"{group.series}/instances/{frame.sop_instance_uid}")
        if header is None:
            return group
        outline = await self._outline(group, header, frame)
        plane = ImagePlane.of(header, frame.frame_number)
        if plane is not None:
            group = replace(
                group,
                measurements=tuple(
                    replace(each, line_in_image=_line(plane, each.line_mm)) if each.line_mm else each
                    for each in group.measurements
                ),
            )
        return replace(group, place=ImagePlace(frame, outline))

    async def _header(self, name: str) -> Dataset | None:
        if name not in self._headers:
            try:
                headers = await self._storage.read_headers(name)
            except _LASTING:
                headers = []
            self._headers[name] = headers[0].dataset if headers else None
        return self._headers[name]

    async def _outline(self, group: FindingGroup, header: Dataset, frame: SourceFrame) -> tuple[float, ...]:
        segmentation = self._segmentations.get(group.segmentation_sop_instance_uid)
        if segmentation is not None and group.segment_number > 0:
            return await self._segment_outline(segmentation.name, group.segment_number, header, frame)
        rows, columns = first_number(header, "Rows"), first_number(header, "Columns")
        return frame_outline(int(rows), int(columns)) if rows and columns else ()

    async def _segment_outline(
        self, name: str, segment_number: int, header: Dataset, frame: SourceFrame
    ) -> tuple[float, ...]:
        index = await self._index(name)
        if index is None:
            return ()
        masks = index.masks_over(header, frame.frame_number)
        wanted = [mask for mask in masks if mask.segment.number == segment_number]
        if not wanted:
            return ()
        selection = storage_service_pb2.RetrieveFramesRequest.Selection(
            instance=name, frame_numbers=[wanted[0].frame_number]
        )
        try:
            pixels = [each.pixels async for each in self._storage.read_frames(selections=[selection])]
        except _LASTING:
            return ()
        return await asyncio.to_thread(mask_outline, index.mask(wanted[0], pixels[0]))

    async def _index(self, name: str) -> SegmentationIndex | None:
        if name not in self._indexes:
            header = await self._header(name)
            try:
                self._indexes[name] = None if header is None else await asyncio.to_thread(SegmentationIndex, header)
            except ImagingError:
                self._indexes[name] = None
        return self._indexes[name]


def _line(plane: ImagePlane, line_mm: tuple[float, ...]) -> tuple[float, ...]:
    ends = plane.line_in_image(line_mm)
    return tuple(place + _CENTRE for end in ends for place in end) if ends is not None else ()
