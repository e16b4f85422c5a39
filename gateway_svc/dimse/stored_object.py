"""An object of storage on its way to a peer: asked for ahead, so that it comes while another is being sent."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final

import google_crc32c

from imaging.dicom.file_meta import read_file_meta
from imaging.errors import ChecksumMismatch, Unavailable
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


_AHEAD: Final = 2
"""Objects that storage is asked for while another is being sent or looked at."""


class StoredObject:
    """One instance, read once, in one of the transfer syntaxes that the request accepts (none: as it is stored)."""

    def __init__(self, storage: StorageStub, request: pb.RetrieveInstancesRequest) -> None:
        self.name = request.name
        self.data_set_bytes = 0
        """Size of `data_set`, once that was asked for."""

        self._call: Any = storage.RetrieveInstances(request)
        self._first: pb.RetrieveInstancesResponse | None = None
        self._is_finished = False

    async def transfer_syntax_uid(self) -> str:
        """The transfer syntax in which it comes; raises as `data_set`."""
        return (await self._header()).transfer_syntax_uid

    async def data_set(self) -> bytes | AsyncIterator[bytes]:
        """The data set without file meta: at once where it came in one message, otherwise piece by piece.

        Raises
        ------
        ImagingError
            Why it cannot be read; the iterator too. What came in one message was proven by storage before.
        """
        size = (await self._header()).size_bytes
        content = await self._content()
        start = read_file_meta(content).end
        self.data_set_bytes = size - start
        first = content[start:]
        return first if self._is_finished else self._pieces(first)

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

    async def _header(self) -> pb.RetrieveInstancesResponse.Header:
        if self._first is None:
            self._first = await self._message()
        return self._first.header

    async def _message(self) -> pb.RetrieveInstancesResponse:
        with domain_errors(self.name):
            message = await self._call.read()
        if not isinstance(message, pb.RetrieveInstancesResponse):
            raise Unavailable("Storage ended the stream in the middle of an object", where=self.name)
        return message

    async def _content(self) -> bytes:
        message, self._first = self._first or await self._message(), None
        content = message.data.content
        if google_crc32c.value(content) != message.data.crc32c:
            raise ChecksumMismatch("A part of the object changed on the way", where=self.name)
        self._is_finished = message.HasField("finish")
        return content


class UpcomingObjects:
    """Objects in the order of the requests, each asked for while those before are still in use."""

    def __init__(self, storage: StorageStub, requests: Iterable[pb.RetrieveInstancesRequest]) -> None:
        self._storage = storage
        self._requests = iter(requests)
        self._ahead: deque[StoredObject] = deque()
        self._taken: StoredObject | None = None

    def take(self) -> StoredObject:
        """The next one; the one before is closed."""
        while len(self._ahead) <= _AHEAD and (request := next(self._requests, None)) is not None:
            self._ahead.append(StoredObject(self._storage, request))
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
