"""Small pictures first, and later only the bytes that make them whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import google_crc32c

from imaging.client.frame import DECODABLE, EncodedFrame, Frame
from imaging.client.frame_stream import decoded_frames, read_encoded_frames
from imaging.client.patience import Patience
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL
from imaging.errors import ChecksumMismatch
from imaging.storage.v1 import storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub
    from imaging.codecs.sandbox import DecodePool

PROGRESSIVE = (HTJ2K_LOSSLESS_RPCL, *(uid for uid in DECODABLE if uid != HTJ2K_LOSSLESS_RPCL))
"""Accepted where a resolution level is asked for: the one that has levels if it can be had."""

Request = storage_service_pb2.RetrieveFramesRequest


async def refined_frames(
    stub: StorageStub, frames: Iterable[Frame], resolution_level: int, pool: DecodePool, patience: Patience
) -> AsyncGenerator[Frame]:
    """The frames at a finer level, in the order given; only the bytes that they lack are asked for.

    Those that are at that level, or finer, are given as they are.

    Raises
    ------
    ChecksumMismatch
        If a frame has changed since its first bytes were read.
    """
    for level, alike in groupby(frames, key=lambda frame: frame.resolution_level):
        if level <= resolution_level:
            for frame in alike:
                yield frame
            continue
        async for finer in _refined(stub, list(alike), level, resolution_level, pool, patience):
            yield finer


async def _refined(
    stub: StorageStub, frames: Sequence[Frame], level: int, finer_level: int, pool: DecodePool, patience: Patience
) -> AsyncGenerator[Frame]:
    request = Request(
        # Storage reads an object once a selection.
        selections=[
            Request.Selection(instance=instance, frame_numbers=[frame.frame_number for frame in of_instance])
            for instance, of_instance in groupby(frames, key=lambda frame: frame.instance)
        ],
        accept_transfer_syntax_uids=PROGRESSIVE,
        resolution_level=finer_level,
        after_resolution_level=level,
    )
    first = {(frame.instance, frame.frame_number): frame for frame in frames}

    async def joined() -> AsyncGenerator[EncodedFrame]:
        rest = read_encoded_frames(stub, request, patience)
        try:
            async for part in rest:
                yield _joined(first[part.header.instance, part.header.frame_number], part)
        finally:
            await rest.aclose()

    finer = decoded_frames(joined(), pool)
    try:
        async for frame in finer:
            yield frame
    finally:
        await finer.aclose()


def _joined(frame: Frame, rest: EncodedFrame) -> EncodedFrame:
    content = frame.encoded + rest.content
    header = storage_service_pb2.RetrieveFramesResponse.Header()
    header.CopyFrom(rest.header)
    header.size_bytes, header.first_byte = len(content), 0
    whole = header.resolution_level == 0
    if (
        header.frame_crc32c != frame.header.frame_crc32c
        or rest.header.first_byte != len(frame.encoded)
        or (whole and google_crc32c.value(content) != header.frame_crc32c)
    ):
        raise ChecksumMismatch(
            "The frame is not the one whose first bytes were read", where=frame.instance, hint="Read it from its start."
        )
    return EncodedFrame(header, content, frame.instance_header)
