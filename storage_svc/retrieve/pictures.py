"""Frames as pictures, made where they are read: a picture is smaller than its frame, and sent instead of it.

Imports pydicom, which is large: to be imported when a picture is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Final

from pydicom import Dataset

from imaging.codecs.sandbox import DecodePool
from imaging.database import Database
from imaging.dicom.header import read_header
from imaging.errors import InvalidArgument
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.names import instance_name
from storage_svc.retrieve.asked_frames import frames_selected, groups_of
from storage_svc.retrieve.frame_pixels import frame_pixels
from storage_svc.retrieve.frame_source import FrameGroup, StoredFrame, read_header_and_frames, read_size
from storage_svc.retrieve.instances import CHUNK_BYTES, WHOLE_BYTES
from storage_svc.retrieve.picture_form import PictureForm
from storage_svc.retrieve.read_ahead import read_ahead
from storage_svc.retrieve.short_header import shortened

_HEADER_BYTES: Final = 4 * 1024 * 1024
"""The largest elements of a longer header are left out; no picture needs them."""

_DECODED_BYTES: Final = 32 * 1024 * 1024
"""How much of one group is made into pictures ahead of the caller."""

Made = list[bytes]
"""The messages of one picture, serialized."""


async def render_frames(
    database: Database, store: ObjectStore, executor: Executor, pool: DecodePool, request: pb.RenderFramesRequest
) -> AsyncGenerator[bytes]:
    """The messages of the pictures of all frames asked for, in that order, serialized.

    Pixels are square and the aspect ratio is kept.

    Raises
    ------
    InvalidArgument
        If nothing is selected, an instance has no pixels, or the form cannot be.
    NotFound
        If there is no such instance or frame.
    PixelDataInvalid, UnsupportedTransferSyntax
        At the frame that cannot be decoded.
    DataLoss
        At the frame whose bytes are gone or damaged.
    """
    form = PictureForm.of(request)
    if not request.selections:
        raise InvalidArgument("No frames are selected", where="selections", hint="Name at least one instance.")
    frames, known = await frames_selected(database, request.selections)

    def fetch(group: FrameGroup) -> list[Made | Callable[[], Made]]:
        content, syntax, stored = read_header_and_frames(store, group)
        header = read_header(shortened(content, syntax, _HEADER_BYTES)[0], syntax)
        each = [partial(_picture, frame, header, form, pool) for frame in stored]
        decoded_bytes = sum(frame.args[0].pixels.decoded_frame_bytes for frame in each)
        return list(each) if decoded_bytes > _DECODED_BYTES else [make() for make in each]

    loop = asyncio.get_running_loop()
    groups = groups_of(database, frames, known)
    async for pictures in read_ahead(groups, fetch, executor=executor, size_bytes=read_size):
        for picture in pictures:
            for message in picture if isinstance(picture, list) else await loop.run_in_executor(executor, picture):
                yield message


def _picture(frame: StoredFrame, header: Dataset, form: PictureForm, pool: DecodePool) -> Made:
    """The messages of the picture of one frame; blocks."""
    row = frame.row
    stored = frame_pixels(
        frame.content if isinstance(frame.content, bytes) else frame.content.data,
        frame.transfer_syntax_uid,
        frame.pixels,
        pixel_vr=frame.pixel_vr,
        bit_offset=frame.bit_offset,
        pool=pool,
    )
    pixels, content = form.picture(stored, header, frame.frame_number)
    first = pb.RenderFramesResponse(
        instance=instance_name(row["study_instance_uid"], row["series_instance_uid"], row["sop_instance_uid"]),
        frame_number=frame.frame_number,
        media_type=form.media_type,
        width=pixels.shape[1],
        height=pixels.shape[0],
        size_bytes=len(content),
        data_set_sha256=row["data_set_sha256"],
    )
    return [message.SerializeToString() for message in _messages(first, content)]


def _messages(first: pb.RenderFramesResponse, content: bytes) -> Iterator[pb.RenderFramesResponse]:
    """One message for a file that fits, chunks otherwise."""
    step = len(content) if len(content) <= WHOLE_BYTES else CHUNK_BYTES
    for start in range(0, len(content), step):
        message = pb.RenderFramesResponse() if start else first
        message.content = content[start : start + step]
        yield message
