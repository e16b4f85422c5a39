"""WADO-RS frames (PS3.18 10.4.1.4): stored bytes where the client can decode them, one frame a part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway_svc.dicomweb.multipart import boundary_of, content_type, end, new_boundary, part_start
from gateway_svc.dicomweb.representation import FrameForm, accept_of, frame_form
from gateway_svc.dicomweb.target import Target
from gateway_svc.http.byte_range import asked_range, cut, is_unchanged
from gateway_svc.http.exchange import Exchange, Header
from imaging.errors import Internal
from imaging.rpc.call_messages import ended, messages_of
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

CACHED: Final[Header] = (b"cache-control", b"private, no-cache")
"""Kept by the browser alone, and asked for again each time: an ETag makes that cheap."""

Message = pb.RetrieveFramesResponse
Selection = pb.RetrieveFramesRequest.Selection


async def send_frames(exchange: Exchange, storage: StorageStub, target: Target) -> None:
    """Answer with the frames of a target."""
    form = frame_form(accept_of(exchange.header(b"accept"), exchange.query if exchange.scope["query_string"] else []))
    request = pb.RetrieveFramesRequest(
        selections=[Selection(instance=target.name, frame_numbers=target.frame_numbers)],
        accept_transfer_syntax_uids=form.accept,
    )
    async with aclosing(messages_of(storage.RetrieveFrames(request), "storage")) as messages:
        if len(target.frame_numbers) == 1:
            await _send_one(exchange, form, messages)
        else:
            await send_all(exchange, form, messages)


async def _send_one(exchange: Exchange, form: FrameForm, messages: AsyncIterator[Message]) -> None:
    """One frame: its length is known, so that it can be asked for in ranges."""
    first = await anext(messages)
    header, content = first.header, first.data.content
    part_type = form.part_type(header.transfer_syntax_uid)
    whole = first.HasField("finish")
    if header.bit_offset or (header.bits_allocated == 1 and whole):
        content = aligned(content, header)
    size = len(content) if whole else header.size_bytes
    identity = f"{first.data.crc32c:08x}-{size:x}" if whole else ""
    before = after = b""
    kind = part_type.encode("ascii")
    if form.multipart:
        boundary = boundary_of(header.instance, str(header.frame_number), part_type, identity)
        before, after = part_start(boundary, part_type, first=True, size_bytes=size), end(boundary)
        kind = content_type(boundary, part_type.partition(";")[0])
        identity = f"{identity}-{boundary[:8]}"
    etag = f'"{identity}"' if whole else ""
    headers: list[Header] = [(b"content-type", kind), CACHED, (b"vary", b"Accept"), (b"accept-ranges", b"bytes")]
    if etag:
        headers.append((b"etag", etag.encode("ascii")))
        if is_unchanged(exchange, etag):
            await exchange.send(304, headers)
            return
    total = len(before) + size + len(after)
    part = asked_range(exchange, total, etag)

    async def body() -> AsyncIterator[bytes]:
        yield before
        yield content
        async for message in messages:
            yield message.data.content
        yield after

    if part is not None:
        headers += [part.header, (b"content-length", b"%d" % (part.stop - part.start))]
        await exchange.send_stream(206, headers, cut(body(), part.start, part.stop))
    elif whole:
        await exchange.send(200, headers, b"".join((before, content, after)) if before else content)
        await ended(messages)
    else:
        headers.append((b"content-length", b"%d" % total))
        await exchange.send_stream(200, headers, body())


async def send_all(exchange: Exchange, form: FrameForm, messages: AsyncIterator[Message]) -> None:
    """Any number of frames, a part each, in the order asked for."""
    first = await anext(messages)
    part_type = form.part_type(first.header.transfer_syntax_uid)
    boundary = new_boundary()

    async def parts() -> AsyncIterator[bytes]:
        message, is_first = first, True
        while True:
            content = message.data.content
            if message.HasField("header"):
                header = message.header
                if header.bit_offset or header.bits_allocated == 1:
                    content = aligned(content, header)
                size = len(content) if message.HasField("finish") else header.size_bytes
                kind = form.part_type(header.transfer_syntax_uid)
                yield part_start(boundary, kind, first=is_first, size_bytes=size)
                is_first = False
            yield content
            following = await anext(messages, None)
            if following is None:
                break
            message = following
        yield end(boundary)

    kind = content_type(boundary, part_type.partition(";")[0])
    await exchange.send_stream(200, [(b"content-type", kind), CACHED, (b"vary", b"Accept")], parts())


def aligned(content: bytes, header: Message.Header) -> bytes:
    """A frame of one bit a pixel, whose bits need not begin with a byte, shifted so that they do (PS3.5 8.1.1)."""
    bits = header.rows * header.columns * max(1, header.samples_per_pixel)
    if header.bits_allocated != 1 or (not header.bit_offset and bits % 8 == 0):
        return content
    if (header.bit_offset + bits + 7) // 8 > len(content):
        raise Internal("A frame of one bit a pixel came in parts", where=header.instance)
    every = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    return np.packbits(every[header.bit_offset : header.bit_offset + bits], bitorder="little").tobytes()
