"""The bytes of one kept object, version or quarantined, as a stream that is proven before it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from functools import partial
from typing import Any

import google_crc32c
from sqlalchemy import Connection

from imaging.database import Database
from imaging.errors import DataLoss
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_admin_service_pb2 as pb
from storage_svc.keeping.condition_record import ConditionRecord
from storage_svc.keeping.object_check import check_content
from storage_svc.keeping.verified_object import damaged, read_unproven
from storage_svc.retrieve.read_ahead import read_ahead
from storage_svc.versions.instance_versions import require_version
from storage_svc.versions.kept_name import is_quarantine_name, parse_quarantine_name, parse_version_name
from storage_svc.versions.kept_objects import kept_object
from storage_svc.versions.quarantine import require_quarantined

_CHUNK_BYTES = 1024 * 1024
Row = Mapping[str, Any]
Response = pb.ReadObjectResponse


def kept_object_named(connection: Connection, name: str) -> Row:
    """The row of the version or quarantined instance of that name.

    Raises
    ------
    InvalidArgument
        If it is no such name.
    NotFound
        If nothing of that name is kept.
    """
    if is_quarantine_name(name):
        return require_quarantined(connection, parse_quarantine_name(name))
    return require_version(connection, *parse_version_name(name))


async def read_object(
    database: Database, store: ObjectStore, record: ConditionRecord, executor: Executor, name: str
) -> AsyncGenerator[Response]:
    """The messages of an object.

    Raises
    ------
    InvalidArgument, NotFound
        As `kept_object_named`.
    DataLoss
        Before the finish, if its bytes are not those that were stored.
    Unavailable
        If the store does not answer.
    """
    find = partial(kept_object_named, name=name)
    row = await database.read(find)
    if (
        row["object_crc32c"] is None
    ):  # replaced in the first release: the scrub, which has not come to it, would fill it
        await record.keep([await check_content(store, row)])
        row = await database.read(find)
    size = row["size_bytes"]

    async def offsets() -> AsyncGenerator[int]:
        for offset in range(0, size, _CHUNK_BYTES):
            yield offset

    def fetch(offset: int) -> tuple[int, bytes]:
        return offset, read_unproven(store, row, offset, min(_CHUNK_BYTES, size - offset))

    object_crc = 0
    chunks = read_ahead(offsets(), fetch, executor=executor, size_bytes=lambda _: _CHUNK_BYTES)
    async for offset, content in _unless_forgotten(chunks, partial(database.read, find)):
        object_crc = google_crc32c.extend(object_crc, content)
        message = Response(
            data=Response.Data(offset=offset, content=content, crc32c=google_crc32c.value(content)),
            header=Response.Header(object=kept_object(row)) if offset == 0 else None,
        )
        if offset + len(content) == size:
            if object_crc != row["object_crc32c"]:
                raise damaged(row)
            message.finish.object_crc32c = object_crc
        yield message


async def _unless_forgotten(
    chunks: AsyncGenerator[tuple[int, bytes]], find: Callable[[], Awaitable[Row]]
) -> AsyncGenerator[tuple[int, bytes]]:
    """The same chunks; an object that was discarded or purged while it is read is not there, instead of lost."""
    async with aclosing(chunks):
        try:
            async for chunk in chunks:
                yield chunk
        except DataLoss:
            await find()
            raise
