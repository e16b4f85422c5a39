"""One StoreInstances stream: messages to uploads, each upload to exactly one outcome, in any order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging.database import Database
from imaging.errors import (
    DeadlineExceeded,
    ImagingError,
    Internal,
    InvalidArgument,
    Overloaded,
    StorageFull,
    Unavailable,
)
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1.storage_pb2 import STORE_OUTCOME_STORED
from storage_svc import resources
from storage_svc.ingest.arrival import Content
from storage_svc.ingest.ingest import Ingest
from storage_svc.intake.arena import HEADROOM, Arena
from storage_svc.upload.answers import UploadAnswers
from storage_svc.upload.header import Announced, announced_by, finished_by
from storage_svc.upload.spool import RESUMABLE_BYTES, UploadSpool, is_resumable, study_hint
from storage_svc.upload.spooled import SpooledUpload, check_chunk, check_size

MAX_OPEN = 128
"""Uploads of one stream that were begun and not finished; each has a file open. A further one is refused, not waited
for: the stream would have to be read on for any of them to end."""

PERSIST_BYTES = 32 * 1024 * 1024
"""A large upload is made durable, and said to be so, each time that as many bytes have come."""

IDLE_SECONDS = 900.0
"""A stream on which nothing happens for so long is ended."""

MAX_ID_LENGTH = 128
_MAX_DEAD = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UploadServices:
    """What all streams share."""

    ingest: Ingest
    spool: UploadSpool
    arena: Arena
    database: Database
    storing: set[asyncio.Task[None]]
    """All that is being stored, so that a stopping service can wait for it."""
    doubt: Callable[[], None]
    """Is called when an upload could not be kept for a reason that is not its own."""


class UploadStream:
    """Serves one stream. Storing that has begun is finished even if the sender goes away."""

    def __init__(self, services: UploadServices, traceparent: str) -> None:
        self._services = services
        self._traceparent = traceparent
        self._answers = UploadAnswers(services.database)
        self._tasks: set[asyncio.Task[None]] = set()
        self._spooled: dict[str, SpooledUpload] = {}
        self._dead: dict[str, None] = {}
        self._brings_new = False
        """Whether the last instance that was stored was new. Who sends again what is known begins with it."""

    async def serve(
        self, requests: AsyncIterator[pb.StoreInstancesRequest]
    ) -> AsyncGenerator[pb.StoreInstancesResponse]:
        """The answers, as they come."""
        reader = asyncio.create_task(self._read_all(requests), name="store-instances-reader")
        try:
            while (answer := await self._answers.take()) is not None:
                yield answer
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
            for upload_id, upload in list(self._spooled.items()):
                await self._services.spool.let_go(upload_id, upload)

    async def _read_all(self, requests: AsyncIterator[pb.StoreInstancesRequest]) -> None:
        try:
            messages = aiter(requests)
            while (message := await self._next(messages)) is not None:
                try:
                    await self._take(message)
                except ImagingError as error:
                    await self._reject_message(message, error)
                del message  # up to 4 MiB that must not stay while we wait for the next
            for upload_id, upload in list(self._spooled.items()):
                await self._drop(upload_id)
                unfinished = InvalidArgument(
                    "The stream ended before the upload was finished",
                    where=upload_id,
                    hint="Send all of it and its finish; a resumable upload goes on where it was persisted.",
                )
                await self._reject(upload_id, unfinished, upload.announced.source, upload.announced.size_bytes)
            if self._tasks:
                await asyncio.wait(self._tasks)
            self._answers.end()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the generator raises it to the caller of the RPC
            self._answers.end(error)

    async def _next(self, messages: AsyncIterator[pb.StoreInstancesRequest]) -> pb.StoreInstancesRequest | None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await anext(messages, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"Nothing was sent for {IDLE_SECONDS:.0f} s", hint="End a stream that is not used; resume later."
            ) from None

    async def _take(self, message: pb.StoreInstancesRequest) -> None:
        upload_id = message.upload_id
        if not upload_id or len(upload_id) > MAX_ID_LENGTH:
            raise InvalidArgument(
                "The upload_id is empty or too long", where="upload_id", hint=f"Use 1 to {MAX_ID_LENGTH} characters."
            )
        if message.HasField("header"):
            self._dead.pop(upload_id, None)
            await self._drop(upload_id)
            try:
                announced = announced_by(message.header)
                if not message.HasField("finish"):
                    self._check_open_uploads()
            except ImagingError as error:
                await self._reject(upload_id, error, message.header.source, message.header.size_bytes)
                return
            if message.HasField("data") and message.HasField("finish"):
                await self._take_whole(upload_id, message, announced)
                return
            await self._begin(upload_id, announced)
        if upload_id in self._dead:
            return
        upload = self._spooled.get(upload_id)
        if upload is None:
            raise InvalidArgument("The upload has no header", where=upload_id, hint="Send the header first.")
        try:
            if message.HasField("data"):
                await self._take_chunk(upload_id, upload, message.data)
            if message.HasField("finish"):
                announced = finished_by(upload.announced, message.finish)
                path = await self._finish(upload, announced.size_bytes)
                del self._spooled[upload_id]
                self._start(upload_id, path, announced, lambda: self._services.spool.forget(upload_id, upload))
        except ImagingError as error:
            await self._drop(upload_id, refused=error)
            await self._reject(upload_id, error, upload.announced.source, upload.announced.size_bytes)

    async def _take_whole(self, upload_id: str, message: pb.StoreInstancesRequest, announced: Announced) -> None:
        """An instance in one message: it never touches the spool."""
        data = message.data
        content = data.content
        try:
            if data.offset:
                raise InvalidArgument(
                    f"A whole instance starts at offset {data.offset}",
                    where="data.offset",
                    hint="Send it from its first byte; to resume it, send header, data and finish one after another.",
                )
            announced = finished_by(announced, message.finish)
            check_size(len(content), announced.size_bytes)
            check_chunk(content, data.crc32c if data.HasField("crc32c") else None, 0)
        except ImagingError as error:
            await self._reject(upload_id, error, announced.source, announced.size_bytes)
            return
        await self._answers.make_room()
        arena, bare = self._services.arena, announced.expected.headerless_transfer_syntax_uid
        slot = await arena.take(len(content), headroom=HEADROOM if bare else 0)
        slot.fill(content)
        self._start(upload_id, slot, announced, lambda: arena.give_back(slot))

    async def _finish(self, upload: SpooledUpload, size_bytes: int) -> Path:
        await self._answers.make_room()
        try:
            return await upload.finish(size_bytes)
        except ImagingError:
            self._answers.leave_room()
            raise

    def _check_open_uploads(self) -> None:
        if len(self._spooled) >= MAX_OPEN:
            raise Overloaded(
                f"{MAX_OPEN} uploads of the stream are open",
                where="header",
                hint="Finish some before others are begun, or send small instances whole in one message.",
            )

    async def _begin(self, upload_id: str, announced: Announced) -> None:
        try:
            upload = await self._services.spool.open(upload_id, announced)
        except ImagingError as error:
            await self._reject(upload_id, error, announced.source, announced.size_bytes)
            return
        self._spooled[upload_id] = upload
        if announced.size_bytes > RESUMABLE_BYTES:
            ready = pb.StoreInstancesResponse.UploadReady(persisted_size_bytes=upload.persisted_bytes)
            self._answers.tell(pb.StoreInstancesResponse(upload_id=upload_id, ready=ready))

    async def _take_chunk(self, upload_id: str, upload: SpooledUpload, data: pb.StoreInstancesRequest.Data) -> None:
        content = data.content
        if data.offset == 0:
            self._services.spool.hold(upload, study_hint(content))
        await upload.write(data.offset, content, data.crc32c if data.HasField("crc32c") else None)
        if upload.written_bytes - upload.persisted_bytes >= PERSIST_BYTES and is_resumable(
            upload_id, upload.announced.size_bytes
        ):
            persisted = await self._services.spool.persist(upload_id, upload)
            progress = pb.StoreInstancesResponse.UploadProgress(persisted_size_bytes=persisted)
            self._answers.tell(pb.StoreInstancesResponse(upload_id=upload_id, progress=progress))

    def _start(self, upload_id: str, content: Content, announced: Announced, after: Callable[[], Any]) -> None:
        """Store what has come whole; its caller has made room for the outcome."""
        task = asyncio.create_task(self._store(upload_id, content, announced, after), name="store-instance")
        for tasks in (self._tasks, self._services.storing):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _store(self, upload_id: str, content: Content, announced: Announced, after: Callable[[], Any]) -> None:
        try:
            stored = await self._services.ingest.store(
                content, announced, self._traceparent, is_likely_new=self._brings_new
            )
            self._brings_new = stored.outcome == STORE_OUTCOME_STORED
            answer = pb.StoreInstancesResponse(
                upload_id=upload_id,
                stored=pb.StoreInstancesResponse.Stored(
                    instance=resources.instance(stored.row), outcome=stored.outcome
                ),
            )
        except ImagingError as error:
            await self._finished(after)
            await self._tell_refused(upload_id, error, announced.source, announced.size_bytes)
            return
        except Exception:  # noqa: BLE001 - the stream and its other uploads go on
            _log.exception("unforeseen error while storing an instance")
            await self._finished(after)
            defect = Internal("The service met a defect while storing", where=upload_id, hint="Its log tells more.")
            await self._tell_refused(upload_id, defect, announced.source, announced.size_bytes)
            return
        await self._finished(after)
        self._answers.tell(answer)

    @staticmethod
    async def _finished(after: Callable[[], Any]) -> None:
        result = after()
        if asyncio.iscoroutine(result):
            with suppress(ImagingError):  # what is left of the upload is swept later
                await result

    async def _drop(self, upload_id: str, *, refused: ImagingError | None = None) -> None:
        """An upload that ends without having been stored: kept if its sender can resume it (`UploadSpool`)."""
        upload = self._spooled.get(upload_id)
        if upload is not None:
            await self._services.spool.let_go(upload_id, upload, refused=refused)
            del self._spooled[upload_id]  # not before: if this is cancelled, `serve` lets go of what is still here

    async def _reject_message(self, message: pb.StoreInstancesRequest, error: ImagingError) -> None:
        await self._reject(message.upload_id[:MAX_ID_LENGTH], error, "", 0)

    async def _reject(self, upload_id: str, error: ImagingError, source: str, size_bytes: int) -> None:
        await self._answers.make_room()
        await self._tell_refused(upload_id, error, source, size_bytes)

    async def _tell_refused(self, upload_id: str, error: ImagingError, source: str, size_bytes: int) -> None:
        self._brings_new = False
        if isinstance(error, StorageFull | Unavailable):
            self._services.doubt()
        self._dead[upload_id] = None
        while len(self._dead) > _MAX_DEAD:
            del self._dead[next(iter(self._dead))]
        await self._answers.refuse(upload_id, error, source, size_bytes)
