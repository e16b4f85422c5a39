"""STOW-RS (PS3.18 10.5): the parts of a body go to storage while they come in, many on their way at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway_svc.dicomweb.multipart_reader import MultipartReader, Part
from gateway_svc.dicomweb.representation import DICOM, OCTETS, accept_of
from gateway_svc.dicomweb.store_answer import Failed, Stored, send_store_answer
from gateway_svc.dicomweb.target import Target
from gateway_svc.http.exchange import Exchange
from gateway_svc.http.media_type import parse_media_type
from gateway_svc.http.refusals import BrokenBody, RequestTimeout, UnsupportedMediaType
from gateway_svc.store_stream import CHUNK_BYTES, WHOLE_BYTES, Outcome, StoreStream
from imaging.dicom.file_meta import read_file_meta
from imaging.dicom.preamble import has_part10_prefix
from imaging.errors import DeadlineExceeded, ImagingError, InvalidArgument, NotDicom
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

MAX_UNANSWERED: Final = 64
"""Instances of one request that storage has and has not answered yet."""

ANSWER_SECONDS: Final = 60.0
"""Longest wait for storage to answer for an instance that it has."""

_HEAD_BYTES: Final = 2048
"""Of an instance, in which its file meta is looked for, so that a failure can name it."""


@dataclass(slots=True)
class _Sent:
    """An instance that is on its way."""

    sop_class_uid: str
    sop_instance_uid: str
    outcome: Outcome


async def store_instances(exchange: Exchange, storage: StorageStub, target: Target) -> None:
    """Store what the body holds, and answer for each part."""
    parts = _parts(exchange)  # refuses before anything is read
    store = _Store(storage, target.uids[0] if target.uids else "")
    try:
        broken = await store.take_all(parts)
        results = await store.results()
    finally:
        await store.close()
    if not results:
        raise broken or InvalidArgument(
            "The body holds no instance", where="body", hint="Send one part of application/dicom for each instance."
        )
    accept = accept_of(exchange.header(b"accept"), exchange.query if exchange.scope["query_string"] else [])
    await send_store_answer(exchange, accept, results, broken)


def _parts(exchange: Exchange) -> AsyncIterator[Part]:
    """The parts of a multipart body, or the one of a body that is an instance itself.

    Raises
    ------
    UnsupportedMediaType
        For any other body.
    """
    coding = exchange.header(b"content-encoding").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The content coding {coding[:20]!r} is not taken",
            where="Content-Encoding",
            hint="Send the body as it is; compress the pixel data by a transfer syntax.",
        )
    kind = parse_media_type(exchange.header(b"content-type"))
    if kind.name == DICOM:
        return _single(exchange)
    if kind.name in ("multipart/related", "multipart/mixed", "multipart/form-data"):
        if kind.part in ("", DICOM, OCTETS, '"'):
            return MultipartReader(exchange.body(), kind.parameters.get("boundary", "")).parts()
        raise UnsupportedMediaType(
            f"Parts of {kind.part[:60]!r} are not taken",
            where="Content-Type",
            hint='Send whole objects: multipart/related; type="application/dicom". Metadata with bulk data apart is not'
            " put together here.",
        )
    raise UnsupportedMediaType(
        "The body is in no form that is taken",
        where="Content-Type",
        hint='Send multipart/related; type="application/dicom"; boundary=…, or one instance as application/dicom.',
    )


async def _single(exchange: Exchange) -> AsyncIterator[Part]:
    async def content() -> AsyncIterator[bytes]:
        async for chunk in exchange.body():
            yield chunk

    yield Part(DICOM, content())  # type: ignore[arg-type]  # an async generator


class _Store:
    """The instances of one request, on one stream of storage, or a new one if that breaks."""

    def __init__(self, stub: StorageStub, study_instance_uid: str) -> None:
        self._stub = stub
        self._study_instance_uid = study_instance_uid
        self._stream: StoreStream | None = None
        self._room = asyncio.Semaphore(MAX_UNANSWERED)
        self._results: list[_Sent | Failed] = []

    async def take_all(self, parts: AsyncIterator[Part]) -> ImagingError | None:
        """Send every part; why the body could not be read to its end, if it could not."""
        try:
            async for part in parts:
                await self._take(part)
        except ImagingError as error:  # of the body itself: what came before is stored all the same
            return error
        return None

    async def results(self) -> list[Stored | Failed]:
        """One result for each part, in order."""
        found: list[Stored | Failed] = []
        for sent in self._results:
            if isinstance(sent, Failed):
                found.append(sent)
                continue
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    stored = await sent.outcome
                found.append(Stored(stored.instance, stored.outcome))
            except ImagingError as error:
                found.append(Failed(sent.sop_class_uid, sent.sop_instance_uid, error))
            except TimeoutError:
                silent = DeadlineExceeded("Storage did not answer", where="storage", hint="Send it again.")
                found.append(Failed(sent.sop_class_uid, sent.sop_instance_uid, silent))
        return found

    async def close(self) -> None:
        """End the stream; what was not finished is dropped by storage."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _take(self, part: Part) -> None:
        kind = parse_media_type(part.content_type).name
        if kind not in ("", DICOM, OCTETS):
            wrong = NotDicom(
                f"A part of {kind[:60]!r} is no instance",
                where="Content-Type of the part",
                hint="Send application/dicom.",
            )
            self._results.append(Failed("", "", wrong))
            return
        await self._room.acquire()
        try:
            sent = await self._send(part.content)
        except BaseException:
            self._room.release()
            raise
        if isinstance(sent, _Sent):
            sent.outcome.add_done_callback(lambda _: self._room.release())
        else:
            self._room.release()
        self._results.append(sent)

    async def _send(self, content: AsyncIterator[bytes]) -> _Sent | Failed:
        """Hand an instance over. A failure of storage is its result; one of the body is raised."""
        buffer = bytearray()
        whole = True
        async for chunk in content:
            buffer += chunk
            if len(buffer) > WHOLE_BYTES:
                whole = False
                break
        names = _named(buffer)
        header = pb.StoreInstancesRequest.Header(study_instance_uid=self._study_instance_uid, source="STOW-RS")
        try:
            stream = await self._open()
            if whole:
                outcome = await stream.send_whole(header, bytes(buffer))
            else:
                outcome = await stream.send_chunks(header, _rechunked(buffer, content))
        except (BrokenBody, RequestTimeout):
            raise
        except ImagingError as error:
            return Failed(*names, error)
        return _Sent(*names, outcome)

    async def _open(self) -> StoreStream:
        if self._stream is not None and self._stream.failure is not None:
            await self.close()
        if self._stream is None:
            self._stream = StoreStream(self._stub)
        return self._stream


async def _rechunked(buffer: bytearray, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What is in the buffer and what follows, in chunks of the size that storage takes."""
    while True:
        while len(buffer) >= CHUNK_BYTES:
            chunk = bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
            yield chunk
        following = await anext(content, None)
        if following is None:
            break
        buffer += following
    if buffer:
        yield bytes(buffer)


def _named(content: bytearray) -> tuple[str, str]:
    """SOP Class and Instance UID that the file meta tells; empty if it does not."""
    head = bytes(content[:_HEAD_BYTES])
    if not has_part10_prefix(head):
        return "", ""
    try:
        meta = read_file_meta(head)
    except ImagingError:
        return "", ""
    return meta.media_storage_sop_class_uid, meta.media_storage_sop_instance_uid
