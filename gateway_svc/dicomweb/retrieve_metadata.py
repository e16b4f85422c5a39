"""WADO-RS metadata (PS3.18 10.4.1.1.2): DICOM JSON as storage keeps it, compressed once, with an ETag."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.answer_cache import AnswerCache, Key
from gateway_svc.dicomweb.dicom_xml import XML, xml_parts
from gateway_svc.dicomweb.multipart import content_type, end, new_boundary
from gateway_svc.dicomweb.representation import JSON, accept_of, chosen
from gateway_svc.dicomweb.target import ROOT, Target
from gateway_svc.http.byte_range import is_unchanged
from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.media_type import parse_accept
from imaging.dicom.transfer_syntax import TRANSFER_SYNTAXES
from imaging.rpc.call_messages import messages_of
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

_LEVEL: Final = 2
"""Of compression: 3 takes half as long again for a tenth less."""

_BATCH_BYTES: Final = 256 * 1024
"""What is compressed in one turn of a thread."""

_PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"
_GZIP: Final = 31


async def send_metadata(exchange: Exchange, storage: StorageStub, cache: AnswerCache, target: Target) -> None:
    """Answer with the headers of all instances of a study, series or instance."""
    query = exchange.query if exchange.scope["query_string"] else []
    media_type = chosen(accept_of(exchange.header(b"accept"), query), JSON, "application/json", XML)
    with domain_errors(target.name):
        study = (await storage.GetStudy(pb.GetStudyRequest(name=f"studies/{target.uids[0]}"))).study
    etag = f'W/"{study.etag}{"-xml" if media_type == XML else ""}"'
    compress = takes_gzip(exchange)
    headers: list[Header] = [
        (b"content-type", JSON.encode("ascii")),
        (b"etag", etag.encode("ascii")),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Accept, Accept-Encoding"),
    ]
    if is_unchanged(exchange, etag.removeprefix("W/")):
        await exchange.send(304, headers)
        return
    root = exchange.base_url + ROOT
    request = pb.RetrieveMetadataRequest(name=target.name, format=pb.RetrieveMetadataRequest.FORMAT_DICOM_JSON)
    if media_type == XML:
        async with aclosing(messages_of(storage.RetrieveMetadata(request), "storage")) as messages:
            boundary = new_boundary()
            headers[0] = (b"content-type", content_type(boundary, XML))
            await exchange.send_stream(200, headers, _xml(boundary, await anext(messages), messages, root))
        return
    key = (target.name, study.etag, root)
    if compress:
        headers.append((b"content-encoding", b"gzip"))
    kept = cache.get(key)
    if kept is not None and compress:
        await exchange.send(200, headers, kept)
        return
    if kept is not None:
        await exchange.send_stream(200, headers, _inflated(kept))
        return
    async with aclosing(messages_of(storage.RetrieveMetadata(request), "storage")) as messages:
        first = await anext(messages)  # an error comes before the answer is begun
        pieces = _pieces(first, messages, root)
        await exchange.send_stream(200, headers, _kept(pieces, cache, key, compress=compress))


def takes_gzip(exchange: Exchange) -> bool:
    """True if the client takes gzip (RFC 9110 12.5.3)."""
    return any(coding.name == "x/gzip" for coding in parse_accept(_as_types(exchange.header(b"accept-encoding"))))


def _as_types(codings: str) -> str:
    return ",".join(f"x/{coding.strip()}" for coding in codings.split(",") if coding.strip())


def instance_json(message: pb.RetrieveMetadataResponse, root: str) -> bytes:
    """The model of one instance, with absolute URLs, its pixel data and its transfer syntax told."""
    instance, content = message.instance, message.content
    url = f"{root}/{instance.name}/bulkdata/".encode("ascii")
    if b'"BulkDataURI"' in content:
        # Quotes inside of values are escaped, so that this is found only where it is a member.
        content = content.replace(b'"BulkDataURI":"bulkdata/', b'"BulkDataURI":"' + url)
    more = f',"00083002":{{"vr":"UI","Value":["{instance.transfer_syntax_uid}"]}}'
    if instance.number_of_frames:
        tag = pixel_tag(instance)
        syntax = TRANSFER_SYNTAXES.get(instance.transfer_syntax_uid)
        words = instance.bits_allocated > 8 and syntax is not None and syntax.family == "native"
        vr = {"7FE00008": "OF", "7FE00009": "OD"}.get(tag, "OW" if words else "OB")
        more += f',"{tag}":{{"vr":"{vr}","BulkDataURI":"{url.decode()}{tag}"}}'
    return content[:-1] + more.encode("ascii") + b"}"


def pixel_tag(instance: storage_pb2.Instance) -> str:
    """The element that holds the pixels."""
    if instance.sop_class_uid == _PARAMETRIC_MAP:
        return {32: "7FE00008", 64: "7FE00009"}.get(instance.bits_allocated, "7FE00010")
    return "7FE00010"


async def _pieces(
    first: pb.RetrieveMetadataResponse, others: AsyncIterator[pb.RetrieveMetadataResponse], root: str
) -> AsyncIterator[bytes]:
    """The JSON array in pieces worth a turn of a thread."""
    batch, size = [b"[", instance_json(first, root)], 0
    async for message in others:
        model = instance_json(message, root)
        batch += [b",", model]
        size += len(model)
        if size > _BATCH_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
    yield b"".join([*batch, b"]"])


async def _xml(
    boundary: str, first: pb.RetrieveMetadataResponse, others: AsyncIterator[pb.RetrieveMetadataResponse], root: str
) -> AsyncIterator[bytes]:
    """A part for each instance."""
    yield xml_parts(boundary, [json.loads(instance_json(first, root))])
    async for message in others:
        yield xml_parts(boundary, [json.loads(instance_json(message, root))], first=False)
    yield end(boundary)


async def _kept(pieces: AsyncIterator[bytes], cache: AnswerCache, key: Key, *, compress: bool) -> AsyncIterator[bytes]:
    """The pieces, or their compressed form; the latter is kept for the next request if it is not too large."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    kept: list[bytes] = []
    size = 0
    async for piece in pieces:
        wanted = compress or size <= cache.most_bytes_of_one
        compressed = await asyncio.to_thread(compressor.compress, piece) if wanted else b""
        size += len(compressed)
        if size <= cache.most_bytes_of_one:
            kept.append(compressed)
        else:
            kept.clear()
        if compress and compressed:
            yield compressed
        elif not compress:
            yield piece
    last = compressor.flush()
    if compress:
        yield last
    if size <= cache.most_bytes_of_one:
        cache.put(key, b"".join([*kept, last]))


async def _inflated(compressed: bytes) -> AsyncIterator[bytes]:
    decompressor = zlib.decompressobj(_GZIP)
    rest = compressed
    while rest:
        piece = await asyncio.to_thread(decompressor.decompress, rest, 4 * _BATCH_BYTES)
        rest = decompressor.unconsumed_tail
        if piece:
            yield piece
    yield decompressor.flush()
