"""Which frames the pictures of a study, series or instance are made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.target import Target
from gateway_svc.index_search import LARGEST_PAGE, search_page
from imaging.dicom.transfer_syntax import PixelFamily, transfer_syntax
from imaging.errors import NotFound
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_NO_FRAMES: Final = frozenset({PixelFamily.MPEG, PixelFamily.REFERENCED})
_NO_IMAGES: Final = frozenset(("SEG", "RTDOSE", "REG", "M3D", "FID", "OT"))
"""Modalities whose pixels say little of a study, as long as it has others."""

_DERIVED: Final = storage_pb2.Origin.KIND_DERIVED


@dataclass(frozen=True, slots=True)
class PicturedFrame:
    """One frame; `frame_number` counts from 1."""

    instance: storage_pb2.Instance
    frame_number: int


async def first_frame(storage: StorageStub, target: Target) -> PicturedFrame:
    """The frame that the target names; of an instance, series or study the first.

    Raises
    ------
    NotFound
        If it is not there, or has no images.
    """
    if target.level == 3:
        return PicturedFrame(await _instance(storage, target.name), (target.frame_numbers or (1,))[0])
    async for page in pages_with_pixels(storage, target.name):
        return PicturedFrame(page[0], 1)
    raise _no_images(target)


async def middle_frame(storage: StorageStub, target: Target) -> PicturedFrame:
    """The frame that stands for the target: the one that it names, or the one in the middle of instance or series.

    A study stands for its first received series that shows the patient.

    Raises
    ------
    NotFound
        If it is not there, or has no images.
    """
    if target.level == 3:
        instance = await _instance(storage, target.name)
        return PicturedFrame(instance, (target.frame_numbers or (_middle(instance.number_of_frames),))[0])
    series = target.name if target.level == 2 else await _telling_series(storage, target)
    with domain_errors(series):
        count = (await storage.GetSeries(pb.GetSeriesRequest(name=series))).series.instance_count
    instances, _ = await search_page(storage, series, 3, (), 1, "", skip=count // 2)
    if not instances or not _has_pictures(instances[0]):
        async for page in pages_with_pixels(storage, series):
            instances = [page[len(page) // 2]]
            break
        else:
            raise _no_images(target)
    return PicturedFrame(instances[0], _middle(instances[0].number_of_frames))


async def pages_with_pixels(storage: StorageStub, name: str) -> AsyncGenerator[list[storage_pb2.Instance]]:
    """The instances of a study or series that can be shown, in order; no page is empty."""
    token = ""
    while True:
        instances, token = await search_page(storage, name, 3, (), LARGEST_PAGE, token)
        if shown := [instance for instance in instances if _has_pictures(instance)]:
            yield shown
        if not token:
            return


async def _instance(storage: StorageStub, name: str) -> storage_pb2.Instance:
    with domain_errors(name):
        return (await storage.GetInstance(pb.GetInstanceRequest(name=name))).instance


async def _telling_series(storage: StorageStub, target: Target) -> str:
    found, _ = await search_page(storage, target.name, 2, (), LARGEST_PAGE, "")
    with_frames = [series for series in found if series.frame_count]
    if not with_frames:
        raise _no_images(target)
    best = min(with_frames, key=lambda series: (series.origin.kind == _DERIVED, series.modality in _NO_IMAGES))
    return str(best.name)


def _has_pictures(instance: storage_pb2.Instance) -> bool:
    return instance.number_of_frames > 0 and transfer_syntax(instance.transfer_syntax_uid).family not in _NO_FRAMES


def _middle(number_of_frames: int) -> int:
    return number_of_frames // 2 + 1


def _no_images(target: Target) -> NotFound:
    return NotFound(
        "There is nothing of that name that has images",
        where=target.name,
        hint="Search its series and their modalities.",
    )
