"""One call of StoreInstances with many uploads on it, whose outcomes come in any order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final

import google_crc32c

from imaging.client.outgoing_messages import OutgoingMessages
from imaging.errors import DeadlineExceeded, ImagingError, Unavailable
from imaging.rpc.status import domain_errors, from_status
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub

WHOLE_BYTES: Final = 3_500_000
"""An instance up to this size goes whole in one message."""

CHUNK_BYTES: Final = 1 << 20
"""A larger one goes in chunks of at most this size."""

Outcome = asyncio.Future[pb.StoreInstancesResponse.Stored]
"""Of one upload; an `ImagingError` if it is not stored."""


class StoreStream:
    """A call, read by a task of its own, so that a broken one is noticed while it is written to.

    Parameters
    ----------
    patience_seconds
        Longest wait for storage to take a message.
    """

    def __init__(self, stub: StorageStub, *, patience_seconds: float = 60.0) -> None:
        self.failure: ImagingError | None = None
        """Why the call has ended."""

        self._requests: OutgoingMessages[pb.StoreInstancesRequest] = OutgoingMessages()
        self._call: Any = stub.StoreInstances(self._requests)
        self._expected: dict[str, Outcome] = {}
        self._count = 0
        self._patience_seconds = patience_seconds
        self._reader = asyncio.create_task(self._read(), name="store-instances-reader")

    async def send_whole(self, header: pb.StoreInstancesRequest.Header, content: bytes) -> Outcome:
        """Send an instance of at most `WHOLE_BYTES` in one message.

        Raises
        ------
        ImagingError
            Why the call has ended.
        """
        header.size_bytes, header.object_crc32c = len(content), google_crc32c.value(content)
        upload_id, outcome = self._expect()
        message = pb.StoreInstancesRequest(upload_id=upload_id, header=header)
        message.data.content = content
        message.finish.SetInParent()
        await self._put(message)
        return outcome

    async def send_chunks(self, header: pb.StoreInstancesRequest.Header, chunks: AsyncIterable[bytes]) -> Outcome:
        """Send an instance of a size that nobody knows yet, in chunks of at most `CHUNK_BYTES`, as they come.

        Of one that is refused before its end, the rest is not asked for.

        Raises
        ------
        ImagingError
            Why the call has ended; and whatever `chunks` raises, which leaves the upload unfinished.
        """
        header.size_follows = True
        upload_id, outcome = self._expect()
        await self._put(pb.StoreInstancesRequest(upload_id=upload_id, header=header))
        offset, checksum = 0, 0
        async for chunk in chunks:
            if outcome.done():
                return outcome
            message = pb.StoreInstancesRequest(upload_id=upload_id)
            message.data.offset, message.data.content = offset, chunk
            message.data.crc32c = google_crc32c.value(chunk)
            offset, checksum = offset + len(chunk), google_crc32c.extend(checksum, chunk)
            await self._put(message)
        message = pb.StoreInstancesRequest(upload_id=upload_id)
        message.finish.object_crc32c, message.finish.size_bytes = checksum, offset
        await self._put(message)
        return outcome

    async def fail(self, error: ImagingError) -> None:
        """Give the call up: whatever has no outcome yet gets this one."""
        if self.failure is None:
            self.failure = error
        self._call.cancel()
        await self._requests.end()
        for outcome in self._expected.values():
            if not outcome.done():
                outcome.set_exception(error)
                outcome.exception()  # nobody may be waiting for it
        self._expected.clear()

    async def close(self) -> None:
        """End the call; an upload that was not finished leaves nothing behind in storage."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.fail(Unavailable("The upload was ended"))

    def _expect(self) -> tuple[str, Outcome]:
        self._count += 1
        outcome: Outcome = asyncio.get_running_loop().create_future()
        self._expected[str(self._count)] = outcome
        return str(self._count), outcome

    async def _put(self, message: pb.StoreInstancesRequest) -> None:
        """Hand a message over, once storage has taken those before: that is how a fast sender is slowed down."""
        if self.failure is None:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    await self._requests.put(message)
            except TimeoutError:
                await self.fail(
                    DeadlineExceeded(
                        f"Storage took nothing for {self._patience_seconds:g} s", where="storage", hint="Send it again."
                    )
                )
        if self.failure is not None:
            raise self.failure

    async def _read(self) -> None:
        try:
            with domain_errors("storage"):
                while isinstance(response := await self._call.read(), pb.StoreInstancesResponse):
                    self._take(response)
            raise Unavailable("Storage has ended the stream", where="storage")
        except ImagingError as error:
            await self.fail(error)

    def _take(self, response: pb.StoreInstancesResponse) -> None:
        kind = response.WhichOneof("outcome")
        if kind not in ("stored", "rejected"):
            return
        outcome = self._expected.pop(response.upload_id, None)
        if outcome is None or outcome.done():
            return
        if kind == "stored":
            outcome.set_result(response.stored)
        else:
            outcome.set_exception(from_status(response.rejected))
            outcome.exception()
