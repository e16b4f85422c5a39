"""WADO-RS instances (PS3.18 10.4): whole objects, streamed, with executable preambles neutralised."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.multipart import content_type, end, new_boundary, part_start
from gateway_svc.dicomweb.representation import DICOM, InstanceForm, accept_of, instance_form
from gateway_svc.dicomweb.target import Target
from gateway_svc.http.byte_range import asked_range, cut, is_unchanged
from gateway_svc.http.exchange import Exchange, Header
from imaging.dicom.preamble import harmless_preamble
from imaging.rpc.call_messages import messages_of
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

NEVER_RUN: Final[tuple[Header, ...]] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cache-control", b"private, no-cache"),
)
"""For what others made: a browser shows and runs nothing of it."""


async def send_instances(exchange: Exchange, storage: StorageStub, target: Target) -> None:
    """Answer with the instances of a study, series or instance."""
    accept = accept_of(exchange.header(b"accept"), exchange.query if exchange.scope["query_string"] else [])
    form = instance_form(accept)
    if target.level == 3 and not form.multipart:
        await send_file(exchange, storage, target.name, form)
        return
    request = pb.RetrieveInstancesRequest(name=target.name, accept_transfer_syntax_uids=form.accept)
    async with aclosing(messages_of(storage.RetrieveInstances(request), "storage")) as messages:
        first = await anext(messages)
        boundary = new_boundary()

        async def parts() -> AsyncIterator[bytes]:
            message, is_first = first, True
            while True:
                if message.HasField("header"):
                    syntax, size = message.header.transfer_syntax_uid, message.header.size_bytes
                    kind = f"{DICOM}; transfer-syntax={syntax}"
                    yield part_start(boundary, kind, first=is_first, size_bytes=size)
                    is_first = False
                yield _content(message)
                following = await anext(messages, None)
                if following is None:
                    break
                message = following
            yield end(boundary)

        headers = [(b"content-type", content_type(boundary, DICOM)), (b"vary", b"Accept"), *NEVER_RUN]
        await exchange.send_stream(200, headers, parts())


async def send_file(exchange: Exchange, storage: StorageStub, name: str, form: InstanceForm) -> None:
    """One instance as a file of its own: with an ETag, and, where it is given as it is kept, in ranges."""
    with domain_errors(name):
        instance = (await storage.GetInstance(pb.GetInstanceRequest(name=name))).instance
    as_kept = not form.accept or instance.transfer_syntax_uid in form.accept
    etag = instance_etag(instance) if as_kept else f'{instance_etag(instance)[:-1]}-{form.identity}"'
    headers: list[Header] = [
        (b"content-disposition", f'attachment; filename="{instance.sop_instance_uid}.dcm"'.encode("ascii")),
        (b"etag", etag.encode("ascii")),
        (b"vary", b"Accept"),
        *NEVER_RUN,
    ]
    if as_kept:
        headers.append((b"accept-ranges", b"bytes"))
    if is_unchanged(exchange, etag):
        await exchange.send(304, headers)
        return
    part = asked_range(exchange, instance.size_bytes, etag) if as_kept else None
    request = pb.RetrieveInstancesRequest(name=name, accept_transfer_syntax_uids=form.accept)
    if part and part.start >= 132:  # an earlier start is read from the beginning, because of the preamble
        request.start_offset = part.start
    async with aclosing(messages_of(storage.RetrieveInstances(request), "storage")) as messages:
        first = await anext(messages)

        async def content() -> AsyncIterator[bytes]:
            yield _content(first)
            async for message in messages:
                yield _content(message)

        size = part.stop - part.start if part else first.header.size_bytes
        kind = f"{DICOM}; transfer-syntax={first.header.transfer_syntax_uid}"
        headers += [(b"content-type", kind.encode("ascii")), (b"content-length", b"%d" % size)]
        if part is None:
            await exchange.send_stream(200, headers, content())
            return
        offset = request.start_offset
        await exchange.send_stream(
            206, [*headers, part.header], cut(content(), part.start - offset, part.stop - offset)
        )


def instance_etag(instance: storage_pb2.Instance) -> str:
    """Changes with the bytes that are served."""
    return f'"{instance.data_set_sha256[:24]}-{instance.object_crc32c:08x}"'


def _content(message: pb.RetrieveInstancesResponse) -> bytes:
    content = message.data.content
    return harmless_preamble(content) if message.data.offset == 0 else content
