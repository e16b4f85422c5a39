"""Whole objects as a stream, as they are kept or encoded anew, with the checksum over all bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import google_crc32c

from imaging.codecs.sandbox import DecodePool
from imaging.database import Database
from imaging.errors import InvalidArgument
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.index.object_rows import instances_below, with_layout
from storage_svc.keeping.verified_object import damaged, read_range, read_unproven
from storage_svc.names import Name
from storage_svc.retrieve.read_ahead import read_ahead
from storage_svc.retrieve.transcode_frame import target_syntax
from storage_svc.retrieve.transcode_instance import transcoded_bytes, transcoded_instance
from storage_svc.retrieve.wire_message import data_message

WHOLE_BYTES = 3_500_000
"""An object or frame up to this size goes in one message (the contract says 3.5 MiB; headers need some room)."""

CHUNK_BYTES = 1024 * 1024
"""Larger ones go in chunks of this size."""

Row = Mapping[str, Any]
Response = pb.RetrieveInstancesResponse


@dataclass(frozen=True, slots=True)
class _Piece:
    row: Row
    start: int
    offset: int
    length: int

    @property
    def is_first(self) -> bool:
        return self.offset == self.start

    @property
    def is_last(self) -> bool:
        return self.offset + self.length == int(self.row["size_bytes"])


@dataclass(frozen=True, slots=True)
class _Anew:
    """An object that the caller does not take as it is kept; `row` has its layout."""

    row: Row
    target_uid: str
    start: int


async def retrieve_instances(
    database: Database,
    store: ObjectStore,
    executor: Executor,
    pool: DecodePool,
    name: Name,
    *,
    accept: Sequence[str],
    start_offset: int,
) -> AsyncGenerator[bytes]:
    """The messages of all objects below a name, serialized.

    Raises
    ------
    NotFound
        If nothing of that name is there.
    UnsupportedTransferSyntax, PixelDataInvalid, LimitExceeded
        At an object that is in none of the accepted transfer syntaxes and cannot be transcoded.
    DataLoss
        Before the finish of an object whose bytes are not those that were stored.
    """
    accepted = dict.fromkeys(accept)

    async def pieces() -> AsyncGenerator[_Piece | _Anew]:
        start = start_offset
        async for row in instances_below(database, name):
            size, target = row["size_bytes"], row["transfer_syntax_uid"]
            if accepted and target not in accepted:
                target = target_syntax(target, accepted, where=row["sop_instance_uid"])
                (row,) = await with_layout(database, [row])
                yield _Anew(row, target, start)
                start = 0
                continue
            if not 0 <= start <= size:
                raise _beyond(size)
            if start:  # the checksum of the object says nothing of a part
                (row,) = await with_layout(database, [row])
            step = size if size <= WHOLE_BYTES else CHUNK_BYTES
            for offset in range(start, max(size, start + 1), step):
                yield _Piece(row, start, offset, min(step, size - offset))
            start = 0

    def fetch(piece: _Piece | _Anew) -> tuple[_Piece | None, bytes, int, list[bytes]]:
        if isinstance(piece, _Anew):
            syntax, content = transcoded_instance(store, piece.row, piece.target_uid, pool)
            return None, b"", 0, list(_messages(piece.row, syntax, content, piece.start))
        row = piece.row
        read = read_range if piece.start else read_unproven
        content = read(store, row, piece.offset, piece.length)
        crc = google_crc32c.value(content)
        before, after = Response(), Response()
        if piece.is_first:
            before.header.CopyFrom(_header(row, row["transfer_syntax_uid"], row["size_bytes"] - piece.start))
        if piece.is_last:
            after.finish.object_crc32c = row["object_crc32c"]
        return piece, content, crc, [data_message(before, piece.offset, content, crc, after)]

    object_crc = 0
    async for sent, content, crc, messages in read_ahead(pieces(), fetch, executor=executor, size_bytes=_memory):
        if sent is not None:
            object_crc = crc if sent.is_first else google_crc32c.extend(object_crc, content)
            if sent.is_last and sent.start == 0 and object_crc != sent.row["object_crc32c"]:
                raise damaged(sent.row)
        for message in messages:
            yield message


def _memory(piece: _Piece | _Anew) -> int:
    return transcoded_bytes(piece.row) if isinstance(piece, _Anew) else 2 * piece.length


def _messages(row: Row, transfer_syntax_uid: str, content: bytes, start: int) -> Iterator[bytes]:
    """An object that is in memory, from byte `start` on."""
    if not 0 <= start <= len(content):
        raise _beyond(len(content))
    object_crc = google_crc32c.value(content)
    step = len(content) if len(content) <= WHOLE_BYTES else CHUNK_BYTES
    for offset in range(start, max(len(content), start + 1), step):
        before, after = Response(), Response()
        if offset == start:
            before.header.CopyFrom(_header(row, transfer_syntax_uid, len(content) - start))
        if offset + step >= len(content):
            after.finish.object_crc32c = object_crc
        chunk = content[offset : offset + step]
        yield data_message(before, offset, chunk, google_crc32c.value(chunk), after)


def _header(row: Row, transfer_syntax_uid: str, size_bytes: int) -> Response.Header:
    return Response.Header(
        instance=resources.instance(row), size_bytes=size_bytes, transfer_syntax_uid=transfer_syntax_uid
    )


def _beyond(size_bytes: int) -> InvalidArgument:
    return InvalidArgument(f"The object has {size_bytes} bytes", where="start_offset", hint="Go on inside the object.")
