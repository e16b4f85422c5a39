"""WADO-RS bulk data (PS3.18 10.4.1.5): one value of an instance, never shown or run by a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from gateway_svc.dicomweb.multipart import content_type, end, new_boundary, part_start
from gateway_svc.dicomweb.representation import OCTETS, accept_of, frame_form
from gateway_svc.dicomweb.retrieve_frames import send_all
from gateway_svc.dicomweb.retrieve_instances import NEVER_RUN
from gateway_svc.dicomweb.target import Target
from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.media_type import parse_accept
from imaging.rpc.call_messages import messages_of
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

PIXELS = frozenset(("7FE00008", "7FE00009", "7FE00010"))
_DOCUMENT_TYPE = re.compile(r"(application|model|text)/[a-z0-9][a-z0-9.+-]{0,60}\Z")
_EXTENSIONS = {"application/pdf": "pdf", "model/stl": "stl", "model/obj": "obj", "text/xml": "xml"}


async def send_bulk_data(exchange: Exchange, storage: StorageStub, target: Target) -> None:
    """Answer with a bulk value; that of the pixel data is all frames."""
    accept = accept_of(exchange.header(b"accept"), exchange.query if exchange.scope["query_string"] else [])
    if target.path.upper() in PIXELS:
        selection = pb.RetrieveFramesRequest.Selection(instance=target.name)
        form = frame_form(accept)
        frames = pb.RetrieveFramesRequest(selections=[selection], accept_transfer_syntax_uids=form.accept)
        async with aclosing(messages_of(storage.RetrieveFrames(frames), "storage")) as frame_messages:
            await send_all(exchange, form, frame_messages)
        return
    request = pb.RetrieveBulkDataRequest(name=target.name, path=target.path)
    async with aclosing(messages_of(storage.RetrieveBulkData(request), "storage")) as messages:
        first = await anext(messages)
        told = first.header.media_type.lower()
        kind = told if _DOCUMENT_TYPE.match(told) else OCTETS
        extension = _EXTENSIONS.get(kind, "bin")
        headers: list[Header] = [
            (b"content-disposition", f'attachment; filename="{target.uids[2]}.{extension}"'.encode("ascii")),
            (b"vary", b"Accept"),
            *NEVER_RUN,
        ]
        boundary = new_boundary() if _wants_parts(accept) else ""

        async def body() -> AsyncIterator[bytes]:
            if boundary:
                yield part_start(boundary, kind, first=True, size_bytes=first.header.size_bytes)
            yield first.content
            async for message in messages:
                yield message.content
            if boundary:
                yield end(boundary)

        if boundary:
            headers.append((b"content-type", content_type(boundary, kind)))
        else:
            headers += [
                (b"content-type", kind.encode("ascii")),
                (b"content-length", b"%d" % first.header.size_bytes),
            ]
        await exchange.send_stream(200, headers, body())


def _wants_parts(accept: str) -> bool:
    """The Standard's default is multipart; a client that names another type first gets the value alone."""
    best = parse_accept(accept)[0]
    return best.name in ("*/*", "multipart/related", "multipart/*")
