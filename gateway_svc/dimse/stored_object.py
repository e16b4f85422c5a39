"""An object of storage on its way to a peer: asked for ahead, so that it comes while another is being sent."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import google_crc32c

from imaging.dicom.file_meta import read_file_meta
from imaging.errors import ChecksumMismatch, LimitExceeded, Unavailable
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


_AHEAD: Final = 2
"""Objects that storage is asked for while another is being sent or looked at."""


class StoredObject:
    """One instance, read once."""

    def __init__(self, storage: StorageStub, name: str) -> None:
        self.name = name
        self._call: Any = storage.RetrieveInstances(pb.RetrieveInstancesRequest(name=name))
        self._is_finished = False

    async def data_set(self) -> bytes | AsyncIterator[bytes]:
        """The data set without file meta: at once where it came in one message, otherwise piece by piece.

        Raises
        ------
        ImagingError
            Why it cannot be read; the iterator too. What came in one message was proven by storage before.
        """
        content = await self._content()
        start = read_file_meta(content).end
        first = content[start:]
        return first if self._is_finished else self._pieces(first)

    async def file_bytes(self, most: int) -> bytes:
        """The whole object, if it has no more than `most` bytes; raises as `data_set`."""
        content = bytearray(await self._content())
        while not self._is_finished:
            content += await self._content()
            if len(content) > most:
                raise LimitExceeded(f"The instance has more than {most} bytes", where=self.name)
        return bytes(content)

    async def contents(self) -> AsyncIterator[bytes]:
        """The whole object, piece by piece; raises as `data_set`."""
        while not self._is_finished:
            yield await self._content()

    def close(self) -> None:
        """Read no more of it."""
        self._call.cancel()

    async def _pieces(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        while not self._is_finished:
            yield await self._content()

    async def _content(self) -> bytes:
        with domain_errors(self.name):
            message = await self._call.read()
        if not isinstance(message, pb.RetrieveInstancesResponse):
            raise Unavailable("Storage ended the stream in the middle of an object", where=self.name)
        content = message.data.content
        if google_crc32c.value(content) != message.data.crc32c:
            raise ChecksumMismatch("A part of the object changed on the way", where=self.name)
        self._is_finished = message.HasField("finish")
        return content


class UpcomingObjects:
    """Objects in the order of their names, each asked for while those before are still in use."""

    def __init__(self, storage: StorageStub, names: Sequence[str]) -> None:
        self._storage = storage
        self._names = iter(names)
        self._ahead: deque[StoredObject] = deque()
        self._taken: StoredObject | None = None

    def take(self) -> StoredObject:
        """The next one; the one before is closed."""
        while len(self._ahead) <= _AHEAD and (name := next(self._names, None)) is not None:
            self._ahead.append(StoredObject(self._storage, name))
        if self._taken is not None:
            self._taken.close()
        self._taken = self._ahead.popleft()
        return self._taken

    def close(self) -> None:
        """Read no more of any."""
        if self._taken is not None:
            self._taken.close()
        for stored in self._ahead:
            stored.close()
