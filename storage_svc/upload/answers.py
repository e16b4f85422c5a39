"""The answers of one stream: queued for its sender, bounded by what the sender takes, refusals audited."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy import Connection, insert

from imaging.database import Database, clock
from imaging.errors import ImagingError
from imaging.rpc.status import to_status
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc.schema import REJECTION

MAX_IN_FLIGHT = 128
"""Uploads of one stream that have come whole and whose outcome is not taken yet: a further one is not read before."""


class UploadAnswers:
    """A queue of answers. Room is made for each outcome before the work that it ends is begun."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: asyncio.Queue[pb.StoreInstancesResponse | BaseException | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def take(self) -> pb.StoreInstancesResponse | None:
        """The next answer; None at the end. An outcome leaves its room to another."""
        answer = await self._queue.get()
        if isinstance(answer, BaseException):
            raise answer
        if answer is not None and answer.WhichOneof("outcome") in ("stored", "rejected"):
            self._room.release()
        return answer

    def end(self, error: BaseException | None = None) -> None:
        """No more answers will come; the error, if there is one, is the outcome of the call."""
        self._queue.put_nowait(error)

    async def make_room(self) -> None:
        """Wait until the sender has taken enough outcomes for one more."""
        await self._room.acquire()

    def leave_room(self) -> None:
        """The outcome that room was made for will not come."""
        self._room.release()

    def tell(self, answer: pb.StoreInstancesResponse) -> None:
        """Queue an answer; room has been made if it is an outcome."""
        self._queue.put_nowait(answer)

    async def refuse(self, upload_id: str, error: ImagingError, source: str, size_bytes: int) -> None:
        """Queue a refusal after leaving a row for the audit; room has been made."""
        values = {"source": source[:256], "reason": error.reason, "place": error.where[:512], "size_bytes": size_bytes}

        def audit(connection: Connection) -> None:
            connection.execute(insert(REJECTION).values(create_time=clock.now(), **values))

        with suppress(ImagingError):  # a full disk must not keep the sender from hearing of it
            await self._database.write(audit)
        self.tell(pb.StoreInstancesResponse(upload_id=upload_id, rejected=to_status(error)))
