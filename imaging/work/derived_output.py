"""What a stage has made goes to storage under its origin."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from imaging.client.storage import StorageClient, Upload
from imaging.stage.v1.stage_pb2 import StageContext
from imaging.storage.v1 import storage_pb2


async def store_derived(
    storage: StorageClient,
    contents: Iterable[bytes] | AsyncIterable[bytes],
    context: StageContext,
    *,
    source: str,
) -> list[storage_pb2.Instance]:
    """Store Part 10 objects as DERIVED by this stage; their instances, in the order given.

    An object that is stored already, under the UID that the same request gives again, is answered as it is.

    Raises
    ------
    ImagingError
        The first rejection: a stage has all of its output or none to tell.
    """
    origin = storage_pb2.Origin(
        kind=storage_pb2.Origin.KIND_DERIVED, run=context.run, stage=context.stage, attempt=context.attempt
    )
    stored: dict[int, storage_pb2.Instance] = {}
    async for outcome in storage.store(_uploads(contents), origin=origin, source=source):
        if outcome.error is not None:
            raise outcome.error
        if outcome.instance is not None:
            stored[int(outcome.upload_id)] = outcome.instance
    return [stored[number] for number in sorted(stored)]


async def _uploads(contents: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterable[Upload]:
    number = 0
    if isinstance(contents, AsyncIterable):
        async for content in contents:
            yield Upload(str(number := number + 1), content)
    else:
        for content in contents:
            yield Upload(str(number := number + 1), content)
