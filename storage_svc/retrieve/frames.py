"""Frames as a stream: stored bytes where the caller can decode them, others encoded anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace

import google_crc32c

from imaging.codecs.reencode import PLAIN
from imaging.codecs.sandbox import DecodePool
from imaging.database import Database
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.metadata.pieces import header_of
from storage_svc.names import instance_name
from storage_svc.retrieve.asked_frames import frames_of_series, frames_selected, groups_of
from storage_svc.retrieve.cached_frames import CachedFrames
from storage_svc.retrieve.frame_plan import ordered
from storage_svc.retrieve.frame_resolution import FrameResolution
from storage_svc.retrieve.frame_source import Bytes, FrameGroup, Row, StoredFrame, read_frames, read_size
from storage_svc.retrieve.instance_header import header_message
from storage_svc.retrieve.instances import CHUNK_BYTES, WHOLE_BYTES
from storage_svc.retrieve.read_ahead import read_ahead
from storage_svc.retrieve.transcode_frame import target_syntax, transcoded_frame
from storage_svc.retrieve.wire_message import data_message

_DECODED_BYTES = 32 * 1024 * 1024
"""How much of one group is decoded ahead of the caller."""

_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
Response = pb.RetrieveFramesResponse


async def retrieve_frames(
    database: Database, store: ObjectStore, executor: Executor, pool: DecodePool, request: pb.RetrieveFramesRequest
) -> AsyncGenerator[bytes]:
    """The messages of all frames asked for, serialized.

    Raises
    ------
    NotFound, InvalidArgument
        If what is asked for is not there, has no pixels, or no such resolution can be.
    PixelDataInvalid, UnsupportedTransferSyntax
        At the frame that cannot be decoded.
    DataLoss
        At the frame whose bytes are gone or damaged.
    """
    if bool(request.series) == bool(request.selections):
        raise InvalidArgument("Give a series or selections", where="series", hint="One of the two, not both.")
    known: Mapping[str, Row] = {}
    if request.series:
        frames = await frames_of_series(database, request.series)
    else:
        frames, known = await frames_selected(database, request.selections)
    plan = ordered(frames, request.order)
    accept = dict.fromkeys(request.accept_transfer_syntax_uids)
    resolution = FrameResolution.of(request)

    async def groups() -> AsyncGenerator[FrameGroup]:
        told = set[str]()
        async for group in groups_of(database, plan, known):
            if request.with_instance_headers and group.row["sop_instance_uid"] not in told:
                told.add(group.row["sop_instance_uid"])
                yield replace(group, with_header=True)
            else:
                yield group

    def convert(frame: StoredFrame) -> list[bytes]:
        header, content = as_accepted(frame, accept, pool, resolution)
        return list(frame_messages(*(resolution.cut(header, content) if resolution else (header, content))))

    def fetch(group: FrameGroup) -> list[list[bytes] | StoredFrame]:
        before = [header_message(group.row, *header_of(store, group.row))] if group.with_header else []
        stored = list(read_frames(store, group))
        decoded_bytes = sum(frame.pixels.decoded_frame_bytes for frame in stored)
        if decoded_bytes > _DECODED_BYTES:
            return [before, *stored]
        return [before, *(convert(frame) for frame in stored)]

    cached = CachedFrames(store)

    def at_once(group: FrameGroup) -> list[list[bytes] | StoredFrame] | None:
        syntax = group.row["transfer_syntax_uid"]
        if accept and (syntax not in accept or (resolution and resolution.wants_progressive(syntax, accept))):
            return None
        found = cached.read(group)
        if found is None:
            return None
        sent = [convert(frame) for frame in found.frames]
        if found.header and sent:
            # Messages that stand one after the other are one message with the fields of both.
            sent[0][0] = header_message(group.row, found.header, group.row["transfer_syntax_uid"]) + sent[0][0]
        return list(sent)

    async for sent in read_ahead(groups(), fetch, executor=executor, size_bytes=read_size, at_once=at_once):
        for entry in sent:
            if isinstance(entry, StoredFrame):
                # Decoded all together, the group would take too much memory.
                messages = await asyncio.get_running_loop().run_in_executor(executor, convert, entry)
            else:
                messages = entry
            for message in messages:
                yield message


def as_accepted(
    frame: StoredFrame, accept: Collection[str], pool: DecodePool, resolution: FrameResolution | None = None
) -> tuple[Response.Header, Bytes]:
    """Header and bytes of a frame in a transfer syntax that the caller takes; blocks while it is encoded anew.

    Where a resolution is asked for, one that has levels if that can be.

    Raises
    ------
    UnsupportedTransferSyntax
        If it can be given in none of them.
    PixelDataInvalid
        If it cannot be decoded.
    """
    syntax = frame.transfer_syntax_uid
    if resolution and resolution.wants_progressive(syntax, accept):
        with suppress(UnsupportedTransferSyntax):
            return _encoded_anew(frame, target_syntax(syntax, (HTJ2K_LOSSLESS_RPCL,), where=""), pool)
    target = target_syntax(syntax, accept, where=frame.row["sop_instance_uid"])
    if target == syntax or (target in PLAIN and syntax in PLAIN):
        return _header(frame, target, len(frame.content), frame.bit_offset), frame.content
    return _encoded_anew(frame, target, pool)


def _encoded_anew(frame: StoredFrame, target: str, pool: DecodePool) -> tuple[Response.Header, Bytes]:
    described, content = transcoded_frame(frame, target, pool)
    return _header(replace(frame, pixels=described), target, len(content), 0), content


def _header(frame: StoredFrame, syntax: str, size_bytes: int, bit_offset: int) -> Response.Header:
    row, pixels = frame.row, frame.pixels
    return Response.Header(
        instance=instance_name(row["study_instance_uid"], row["series_instance_uid"], row["sop_instance_uid"]),
        frame_number=frame.frame_number,
        transfer_syntax_uid=syntax,
        rows=pixels.rows,
        columns=pixels.columns,
        samples_per_pixel=pixels.samples_per_pixel,
        photometric_interpretation=pixels.photometric_interpretation,
        bits_allocated=pixels.bits_allocated,
        bits_stored=pixels.bits_stored,
        high_bit=pixels.high_bit,
        pixel_representation=pixels.pixel_representation,
        planar_configuration=pixels.planar_configuration,
        size_bytes=size_bytes,
        bit_offset=bit_offset,
        pixel_keyword=_KEYWORDS[frame.pixel_tag],
    )


def frame_messages(header: Response.Header, content: Bytes) -> Iterator[bytes]:
    """One message for a frame that fits, chunks otherwise; serialized."""
    first, last, none = Response(header=header), Response(finish=Response.Finish()), Response()
    step = len(content) if len(content) <= WHOLE_BYTES else CHUNK_BYTES
    for offset in range(0, max(len(content), 1), max(step, 1)):
        chunk = content[offset : offset + step]
        yield data_message(
            first if offset == 0 else none,
            header.first_byte + offset,
            chunk,
            google_crc32c.value(chunk),
            last if offset + step >= len(content) else none,
        )
