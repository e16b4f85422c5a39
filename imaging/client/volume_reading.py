"""A series as a volume: headers and frames from storage, put together by position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pydicom

from imaging.client.frame import Frame
from imaging.client.headers import InstanceHeader
from imaging.errors import VolumeRefused
from imaging.volume.assemble import assemble
from imaging.volume.frame_headers import frame_headers
from imaging.volume.volume import Volume

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all); it may raise to end the reading."""


async def volume_of(
    headers: Sequence[InstanceHeader], frames: AsyncIterator[Frame], progress: Progress | None
) -> tuple[Volume, list[pydicom.Dataset]]:
    """The volume, and the header of each instance in it in the order of its first slice.

    For single-frame instances that is one header a slice; a multi-frame instance is named once.

    Raises
    ------
    VolumeRefused
        If the frames do not make a volume; the reason tells why.
    """
    if not headers:
        raise VolumeRefused("The series has no instances to make a volume of", hint="Choose a series of images.")
    described = {
        (header.sop_instance_uid, header.frame_number): header
        for item in headers
        for header in await asyncio.to_thread(frame_headers, item.dataset)
    }
    pairs = []
    async for frame in frames:
        header = described.get((frame.sop_instance_uid, frame.frame_number))
        if header is None:
            raise VolumeRefused(
                "A frame has no attributes of its own",
                where=f"{frame.instance} frame {frame.frame_number}",
                hint="Per-frame functional groups are missing: correct the sender.",
            )
        pairs.append((header, frame.pixels))
        if progress is not None:
            progress(len(pairs), len(described))
    volume = await asyncio.to_thread(assemble, pairs)
    datasets = {item.instance.sop_instance_uid: item.dataset for item in headers}
    in_order = dict.fromkeys(frame.sop_instance_uid for frame in volume.frames)
    return volume, [datasets[uid] for uid in in_order]
