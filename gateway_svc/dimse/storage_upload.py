"""Instances of an association on their way to storage: one after the other, over one stream or the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway_svc.store_stream import Outcome, StoreStream
from imaging.client.patience import Attempts, Patience
from imaging.errors import DeadlineExceeded, ImagingError
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the sender's command says of the instance that follows."""

    sop_class_uid: str
    sop_instance_uid: str
    source: str

    def header(self) -> pb.StoreInstancesRequest.Header:
        """For storage, which refuses another instance."""
        return pb.StoreInstancesRequest.Header(
            sop_class_uid=self.sop_class_uid, sop_instance_uid=self.sop_instance_uid, source=self.source
        )


class StorageUpload:
    """Uploads one instance at a time; every failure is an `ImagingError`, and the next instance may be tried after it.

    The stream is opened with the first instance.

    Parameters
    ----------
    answer_seconds
        Longest wait for storage, for it to take a message or to answer: a sender does not wait for ever either.
    """

    def __init__(self, stub: StorageStub, *, answer_seconds: float) -> None:
        self._stub = stub
        self._answer_seconds = answer_seconds
        self._stream: StoreStream | None = None

    async def store_whole(self, announced: Announcement, pieces: Sequence[bytes]) -> pb.StoreInstancesResponse.Stored:
        """Store an instance that is in memory. While storage is away it is tried again for some seconds.

        Raises
        ------
        ImagingError
            Why it is not stored.
        """
        content = b"".join(pieces)
        attempts = Attempts(Patience(give_up_after=timedelta(seconds=self._answer_seconds / 3)))
        while True:
            try:
                stream = await self._open()
                return await self._answer(stream, await stream.send_whole(announced.header(), content))
            except ImagingError as error:
                await attempts.fail(error)

    async def store_chunks(
        self, announced: Announcement, chunks: AsyncIterator[bytes]
    ) -> pb.StoreInstancesResponse.Stored:
        """Store an instance of a size that nobody knows yet, chunk by chunk.

        Raises
        ------
        ImagingError
            Why it is not stored; not all chunks may have been taken then.
        """
        stream = await self._open()
        return await self._answer(stream, await stream.send_chunks(announced.header(), chunks))

    async def close(self) -> None:
        """End the stream; an upload that was not finished leaves nothing behind in storage."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()

    async def _open(self) -> StoreStream:
        if self._stream is not None and self._stream.failure is not None:
            await self.close()
        if self._stream is None:
            self._stream = StoreStream(self._stub, patience_seconds=self._answer_seconds)
        return self._stream

    async def _answer(self, stream: StoreStream, outcome: Outcome) -> pb.StoreInstancesResponse.Stored:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await outcome
        except TimeoutError:
            silent = DeadlineExceeded(
                f"Storage did not answer within {self._answer_seconds:g} s",
                where="storage",
                hint="Send the instance again: if it was stored meanwhile, that is no harm.",
            )
            await stream.fail(silent)
            raise silent from None
