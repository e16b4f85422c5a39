"""The change log, followed over broken connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from imaging.client.patience import Attempts, Patience
from imaging.errors import ImagingError
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2, storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


async def watch_changes(
    stub: StorageStub, start_revision: int, kinds: Sequence[storage_pb2.Change.Kind.ValueType], patience: Patience
) -> AsyncGenerator[storage_service_pb2.WatchChangesResponse]:
    """Changes and marks of progress, without end: a watcher waits for storage as long as it takes."""
    attempts = Attempts(Patience(patience.first_delay, patience.longest_delay, give_up_after=timedelta.max))
    start = start_revision
    while True:
        call = stub.WatchChanges(storage_service_pb2.WatchChangesRequest(start_revision=start, kinds=kinds))
        try:
            with domain_errors():
                async for message in call:
                    attempts.succeed()
                    yield message
                    if message.revision:
                        start = message.revision + 1
        except ImagingError as error:
            await attempts.fail(error)
        finally:
            call.cancel()
