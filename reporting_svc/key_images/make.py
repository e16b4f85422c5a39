"""Makes the key images of a report: chosen, read from storage, drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from imaging.client.frame import Frame
from imaging.client.storage import StorageClient
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
from reporting_svc.content.plain_text import clean_text
from reporting_svc.content.report_content import FindingGroup, KeyImage, SeriesUse
from reporting_svc.dicom.evidence import StoredInstance
from reporting_svc.key_images.choice import KeyImageWish, choose_key_images
from reporting_svc.key_images.picture import Layer, Picture, draw_key_image
from reporting_svc.key_images.segmentation_index import SegmentationIndex

LUNG_WINDOW = (-600.0, 1500.0)
"""Center and width in HU, as commonly used for lung."""

_MAX_LEGEND = 12
"""A segmentation may have a hundred segments; their names would not fit on the page."""

_LASTING = (InvalidArgument, NotFound, DataLoss, ChecksumMismatch, FailedPrecondition, Internal)
"""What the same call would meet again: the report goes on without that picture and says so. A service that does not
answer is no such thing: then the whole request is tried again."""


@dataclass(frozen=True, slots=True)
class KeyImages:
    """The pictures, and what could not be drawn."""

    images: tuple[KeyImage, ...]
    notes: tuple[str, ...]


async def make_key_images(
    storage: StorageClient,
    groups: Sequence[FindingGroup],
    *,
    series: Mapping[str, SeriesUse],
    segmentations: Mapping[str, StoredInstance],
    at_most: int,
) -> KeyImages:
    """The key images of the groups.

    Parameters
    ----------
    series
        By resource name.
    segmentations
        By SOP Instance UID.
    """
    indexes: dict[str, SegmentationIndex] = {}
    images: list[KeyImage] = []
    notes: list[str] = []
    for wish in choose_key_images(groups, at_most):
        try:
            frame, header = await _image(storage, wish)
            layers = [
                layer
                for uid in wish.segmentations
                if uid in segmentations
                for layer in await _layers(storage, segmentations[uid].name, wish, header, indexes)
            ]
            picture = await asyncio.to_thread(_draw, frame, header, wish, layers)
        except _LASTING as error:
            notes.append(_note(wish, error))
            continue
        images.append(_key_image(wish, picture, header, series.get(wish.series)))
    return KeyImages(tuple(images), tuple(notes))


async def _image(storage: StorageClient, wish: KeyImageWish) -> tuple[Frame, Dataset]:
    name = f"{wish.series}/instances/{wish.frame.sop_instance_uid}"
    headers = await storage.read_headers(name)
    frames = await _frames(storage, name, [wish.frame.frame_number])
    if not headers or not frames:
        raise NotFound("The frame is not stored", where=name)
    return frames[0], headers[0].dataset


async def _layers(
    storage: StorageClient, name: str, wish: KeyImageWish, image: Dataset, indexes: dict[str, SegmentationIndex]
) -> list[Layer]:
    """The segments of one segmentation that are on the frame; only those frames of it are read."""
    if name not in indexes:
        headers = await storage.read_headers(name)
        indexes[name] = await asyncio.to_thread(SegmentationIndex, headers[0].dataset)
    index = indexes[name]
    wanted = index.masks_over(image, wish.frame.frame_number)
    if not wanted:
        return []
    numbers = list(dict.fromkeys(mask.frame_number for mask in wanted))
    pixels = {frame.frame_number: frame.pixels for frame in await _frames(storage, name, numbers)}
    uid = name.rpartition("/")[2]
    focus = {group.segment_number for group in wish.groups if group.segmentation_sop_instance_uid == uid}
    layers = [
        Layer(index.mask(mask, pixels[mask.frame_number]), mask.segment, mask.segment.number in focus)
        for mask in wanted
    ]
    return [layer for layer in layers if layer.mask.any()]


async def _frames(storage: StorageClient, name: str, frame_numbers: Sequence[int]) -> list[Frame]:
    selection = storage_service_pb2.RetrieveFramesRequest.Selection(instance=name, frame_numbers=frame_numbers)
    return [frame async for frame in storage.read_frames(selections=[selection])]


def _draw(frame: Frame, header: Dataset, wish: KeyImageWish, layers: Sequence[Layer]) -> Picture:
    return draw_key_image(
        frame.pixels,
        header,
        frame_number=wish.frame.frame_number,
        window=_window(header, wish),
        layers=layers,
        lines_mm=[each.line_mm for group in wish.groups for each in group.measurements if each.line_mm],
    )


def _window(header: Dataset, wish: KeyImageWish) -> tuple[float, float] | None:
    """The lung window where lungs are the matter; else what the header says."""
    if header.get("Modality") != "CT":
        return None
    words = " ".join(
        concept.meaning for group in wish.groups for concept in (group.finding_type, group.site) if concept
    )
    return LUNG_WINDOW if "lung" in words.lower() else None


def _key_image(wish: KeyImageWish, picture: Picture, header: Dataset, series: SeriesUse | None) -> KeyImage:
    parts = [series.label if series else ""]
    number = clean_text(header.get("InstanceNumber") or "", 12)
    if number:
        parts.append(f"image {number}")
    if int(header.get("NumberOfFrames") or 1) > 1:
        parts.append(f"frame {wish.frame.frame_number}")
    window = _window(header, wish)
    if window is not None:
        parts.append(f"window {window[0]:g} / {window[1]:g} HU".replace("-", "−"))
    if len(picture.drawn) > _MAX_LEGEND:
        parts.append(f"{len(picture.drawn)} segments, {_MAX_LEGEND} of them named")
    if not picture.drawn and wish.segmentations:
        parts.append("the segmentation is not on this frame")
    return KeyImage(
        title=clean_text(wish.title, 100),
        caption=" · ".join(part for part in parts if part),
        sop_instance_uid=wish.frame.sop_instance_uid,
        frame_number=wish.frame.frame_number,
        legend=tuple((segment.label, segment.colour) for segment in picture.drawn[:_MAX_LEGEND]),
        width=picture.width,
        height=picture.height,
        png=picture.png,
        orientation=picture.orientation,
    )


def _note(wish: KeyImageWish, error: ImagingError) -> str:
    return f"The key image of {clean_text(wish.title, 80)} is missing: {clean_text(error.what)}."
