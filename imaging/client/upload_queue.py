"""The uploads of one store call: taken from the caller while there is room, kept until each is answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imaging.client.upload import StoreResult, Upload, wire_id
from imaging.errors import ImagingError, InvalidArgument
from imaging.storage.v1 import storage_pb2


@dataclass(slots=True)
class PendingUpload:
    """An upload that has no answer yet."""

    upload: Upload
    wire_id: str
    size_bytes: int
    rejections: int = 0
    """How often it was turned away for now."""

    is_answered: bool = False
    persisted: asyncio.Future[int] | None = None
    """Of a resumable upload that was announced: from which byte on it is wanted; cancelled when it is not wanted."""

    def forget_persisted(self) -> None:
        """Wake whoever waits to go on with it: there is nothing to go on with."""
        if self.persisted is not None and not self.persisted.done():
            self.persisted.cancel()


class UploadQueue:
    """Hands out what to send next; bounded by count and by bytes."""

    def __init__(
        self, uploads: Iterable[Upload] | AsyncIterable[Upload], most_in_flight: int, most_bytes_in_flight: int
    ) -> None:
        self.source_error: Exception | None = None
        """What the caller's iterator raised."""
        self._uploads = _iterate(uploads)
        self._most_in_flight = most_in_flight
        self._most_bytes = most_bytes_in_flight
        self._unanswered: dict[str, PendingUpload] = {}
        self._to_send: deque[PendingUpload] = deque()
        self._unreadable: deque[StoreResult] = deque()
        self._bytes_in_flight = 0
        self._count = 0
        self._exhausted = False
        self._changed = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None

    @property
    def is_done(self) -> bool:
        """True when every upload of the caller has its answer."""
        return self._exhausted and not self._unanswered

    def get(self, upload_id: str) -> PendingUpload | None:
        """The upload of that id on the wire, if it has no answer yet."""
        return self._unanswered.get(upload_id)

    def send_everything_again(self) -> None:
        """The stream broke: whatever has no answer goes again, in its order."""
        self._to_send = deque(self._unanswered.values())

    def send_again(self, pending: PendingUpload) -> None:
        """It was turned away for now, and its time has come."""
        if not pending.is_answered and pending not in self._to_send:
            self._to_send.append(pending)
            self._changed.set()

    def answer(self, pending: PendingUpload) -> None:
        """It has its answer, and makes room for others."""
        pending.is_answered = True
        pending.forget_persisted()
        del self._unanswered[pending.wire_id]
        self._bytes_in_flight -= pending.size_bytes
        self._changed.set()

    def fail(self, pending: PendingUpload, error: OSError) -> None:
        """Its file cannot be read any more: that is its answer."""
        if not pending.is_answered:
            self._unreadable.append(_unreadable(pending.upload, error))
            self.answer(pending)

    def take_unreadable(self) -> list[StoreResult]:
        """The results of files that could not be read, each once."""
        results = list(self._unreadable)
        self._unreadable.clear()
        return results

    async def next(self) -> PendingUpload | None:
        """What to send next, waited for; None when everything was answered.

        Raises
        ------
        Exception
            What the caller's iterator raised.
        """
        while True:
            self._changed.clear()
            if self._to_send:
                return self._to_send.popleft()
            if self.source_error is not None:
                raise self.source_error
            if self.is_done:
                return None
            if not self._exhausted and self._fetching is None and self._has_room():
                self._fetching = asyncio.create_task(self._fetch(), name="store-instances-fetch")
            await self._changed.wait()

    async def close(self) -> None:
        """Take no more from the caller."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._uploads.aclose()

    async def _fetch(self) -> None:
        """Take uploads from the caller while there is room.

        A task of its own: it outlives a broken stream, so that no upload is lost between the caller and us.
        """
        try:
            while self._has_room():
                upload = await anext(self._uploads, None)
                if upload is None:
                    self._exhausted = True
                    return
                await self._admit(upload)
                self._changed.set()
        except Exception as error:  # noqa: BLE001 - the caller's iterator may raise anything; the caller gets it back
            self.source_error = error
        finally:
            self._fetching = None
            self._changed.set()

    def _has_room(self) -> bool:
        return not self._unanswered or (
            len(self._unanswered) < self._most_in_flight and self._bytes_in_flight < self._most_bytes
        )

    async def _admit(self, upload: Upload) -> None:
        try:
            size = len(upload.content) if isinstance(upload.content, bytes) else await _file_size(upload.content)
        except OSError as error:
            self._unreadable.append(_unreadable(upload, error))
            return
        self._count += 1
        pending = PendingUpload(upload, wire_id(size, self._count), size)
        self._unanswered[pending.wire_id] = pending
        self._bytes_in_flight += size
        self._to_send.append(pending)


async def _file_size(path: Path) -> int:
    return (await asyncio.to_thread(path.stat)).st_size


def _unreadable(upload: Upload, error: OSError) -> StoreResult:
    reason = error.strerror or str(error) or type(error).__name__
    refused: ImagingError = InvalidArgument(
        f"The file cannot be read: {reason}", hint="Check that it is there and that you may read it."
    )
    return StoreResult(upload.id, None, storage_pb2.STORE_OUTCOME_UNSPECIFIED, refused)


async def _iterate(uploads: Iterable[Upload] | AsyncIterable[Upload]) -> AsyncGenerator[Upload]:
    if isinstance(uploads, AsyncIterable):
        async for upload in uploads:
            yield upload
    else:
        for upload in uploads:
            yield upload
