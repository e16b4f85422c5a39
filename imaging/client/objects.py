"""Whole objects from storage, checked, and gone on with where the stream broke."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import google_crc32c

from imaging.client.patience import Attempts, Patience
from imaging.errors import ChecksumMismatch, ImagingError, Unavailable
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2, storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


async def retrieve_objects(
    stub: StorageStub, name: str, patience: Patience, accept_transfer_syntax_uids: Sequence[str] = ()
) -> AsyncGenerator[tuple[storage_pb2.Instance, bytes]]:
    """Each instance of a study, series or instance with its bytes, preamble included, as they were sent.

    After a broken stream the objects that were given already are skipped; of the one that was being read, the bytes
    that came are kept and the stream goes on after them.

    Raises
    ------
    ChecksumMismatch
        If bytes changed on the way.
    DataLoss
        If the stored bytes no longer match their digest.
    """
    attempts = Attempts(patience)
    given: set[str] = set()
    partial = _Object()
    while True:
        request = storage_service_pb2.RetrieveInstancesRequest(
            name=name, accept_transfer_syntax_uids=accept_transfer_syntax_uids
        )
        resumable = partial.instance is not None and partial.instance.name == name
        if resumable:
            request.start_offset = len(partial.content)
        else:
            partial = _Object()
        try:
            with domain_errors():
                async for message in stub.RetrieveInstances(request):
                    attempts.succeed()
                    finished = partial.add(message)
                    if finished is None:
                        continue
                    instance, content = finished
                    partial = _Object()
                    if instance.name not in given:
                        given.add(instance.name)
                        yield instance, content
            if partial.instance is not None:
                raise Unavailable("Storage ended the stream in the middle of an object", where=partial.instance.name)
            return
        except ImagingError as error:
            await attempts.fail(error)


class _Object:
    """The object that is being read."""

    def __init__(self) -> None:
        self.instance: storage_pb2.Instance | None = None
        self.content = bytearray()

    def add(self, message: storage_service_pb2.RetrieveInstancesResponse) -> tuple[storage_pb2.Instance, bytes] | None:
        """The object, when this message ends it."""
        if message.HasField("header"):
            self.instance = message.header.instance
        where = self.instance.name if self.instance is not None else ""
        if message.HasField("data"):
            if message.data.offset != len(self.content):
                raise ChecksumMismatch("A part of the object came at the wrong place", where=where)
            if message.data.crc32c and google_crc32c.value(message.data.content) != message.data.crc32c:
                raise ChecksumMismatch("A part of the object changed on the way", where=where)
            self.content += message.data.content
        if not message.HasField("finish") or self.instance is None:
            return None
        content = bytes(self.content)
        if google_crc32c.value(content) != message.finish.object_crc32c:
            raise ChecksumMismatch("The object changed on the way", where=where, hint="Retrieve it again.")
        return self.instance, content
