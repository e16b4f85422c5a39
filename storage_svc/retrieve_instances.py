"""Whole objects as a stream, as they are kept, with the checksum over all bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import google_crc32c

from imaging.database import Database
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.names import Name
from storage_svc.object_rows import instances_below, with_layout
from storage_svc.read_ahead import read_ahead
from storage_svc.verified_object import damaged, read_range, read_unproven
from storage_svc.wire_message import data_message

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


async def retrieve_instances(
    database: Database,
    store: ObjectStore,
    executor: Executor,
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
    UnsupportedTransferSyntax
        If an object is in none of the accepted transfer syntaxes.
    DataLoss
        Before the finish of an object whose bytes are not those that were stored.
    """

    async def pieces() -> AsyncGenerator[_Piece]:
        start = start_offset
        async for row in instances_below(database, name):
            check_accepted(row, accept)
            size = row["size_bytes"]
            if not 0 <= start <= size:
                raise InvalidArgument(
                    f"The object has {size} bytes", where="start_offset", hint="Go on inside the object."
                )
            if start:  # the checksum of the object says nothing of a part
                (row,) = await with_layout(database, [row])
            step = size if size <= WHOLE_BYTES else CHUNK_BYTES
            for offset in range(start, max(size, start + 1), step):
                yield _Piece(row, start, offset, min(step, size - offset))
            start = 0

    def fetch(piece: _Piece) -> tuple[_Piece, bytes, int, bytes]:
        row = piece.row
        read = read_range if piece.start else read_unproven
        content = read(store, row, piece.offset, piece.length)
        crc = google_crc32c.value(content)
        before, after = Response(), Response()
        if piece.is_first:
            size = row["size_bytes"] - piece.start
            before.header.CopyFrom(Response.Header(instance=resources.instance(row), size_bytes=size))
        if piece.is_last:
            after.finish.object_crc32c = row["object_crc32c"]
        return piece, content, crc, data_message(before, piece.offset, content, crc, after)

    object_crc = 0
    async for piece, content, crc, message in read_ahead(
        pieces(), fetch, executor=executor, size_bytes=lambda piece: 2 * piece.length
    ):
        object_crc = crc if piece.is_first else google_crc32c.extend(object_crc, content)
        if piece.is_last and piece.start == 0 and object_crc != piece.row["object_crc32c"]:
            raise damaged(piece.row)
        yield message


def check_accepted(row: Row, accept: Sequence[str]) -> None:
    """Pass if the caller takes the object as it is kept.

    Raises
    ------
    UnsupportedTransferSyntax
        If not: whole objects are given as they were sent.
    """
    uid = row["transfer_syntax_uid"]
    if accept and uid not in accept:
        raise UnsupportedTransferSyntax(
            f"The instance is kept in {transfer_syntax(uid).name}, which is not accepted",
            where=row["sop_instance_uid"],
            hint="Accept it as it is stored, or retrieve its frames, which are decoded.",
            metadata={"transfer_syntax_uid": uid},
        )
