"""One instance on its way to storage: what it is, the messages that it takes, and what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from imaging.errors import ImagingError
from imaging.storage.v1 import storage_pb2, storage_service_pb2

WHOLE_BYTES = 3_500_000
"""An instance up to this size goes whole in one message (the contract allows 3.5 MiB; some room for the header)."""

CHUNK_BYTES = 1 << 20
"""Larger ones go in chunks of this size, the most that the contract allows."""

RESUMABLE_BYTES = 8 << 20
"""Uploads over this size are resumed where they stopped."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An instance to store: its Part 10 bytes, or the file that holds them."""

    id: str
    """The caller's name for it; the result carries it."""

    content: bytes | Path

    headerless_transfer_syntax_uid: str = ""
    """Set for a data set without preamble and file meta: the transfer syntax that it is encoded in."""


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What became of an upload: `instance` and `outcome`, or `error`."""

    upload_id: str
    instance: storage_pb2.Instance | None
    outcome: storage_pb2.StoreOutcome.ValueType
    error: ImagingError | None = None


def wire_id(size_bytes: int, number: int) -> str:
    """The `upload_id` on the wire: a UUID where the upload can be resumed, a short number otherwise."""
    return str(uuid.uuid4()) if size_bytes > RESUMABLE_BYTES else str(number)


def whole_message(
    upload: Upload, upload_id: str, content: bytes, origin: storage_pb2.Origin | None, source: str
) -> storage_service_pb2.StoreInstancesRequest:
    """The only message of an instance of at most `WHOLE_BYTES`: header, data and finish together."""
    message = header_message(upload, upload_id, len(content), origin, source)
    message.header.object_crc32c = google_crc32c.value(content)
    message.data.content = content
    message.finish.SetInParent()
    return message


def header_message(
    upload: Upload, upload_id: str, size_bytes: int, origin: storage_pb2.Origin | None, source: str
) -> storage_service_pb2.StoreInstancesRequest:
    """The first message of an instance."""
    message = storage_service_pb2.StoreInstancesRequest(upload_id=upload_id)
    message.header.size_bytes = size_bytes
    message.header.source = source
    message.header.headerless_transfer_syntax_uid = upload.headerless_transfer_syntax_uid
    if origin is not None:
        message.header.origin.CopyFrom(origin)
    return message


def chunk_messages(
    upload_id: str, content: bytes | Path, start: int
) -> Iterator[storage_service_pb2.StoreInstancesRequest]:
    """The data messages from byte `start` on, then the finish with the checksum over all bytes from 0 on.

    It reads a file; call it from a thread.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    checksum = 0
    for offset, chunk in _chunks(content):
        checksum = google_crc32c.extend(checksum, chunk)
        if offset + len(chunk) <= start:
            continue
        if offset < start:
            offset, chunk = start, chunk[start - offset :]
        message = storage_service_pb2.StoreInstancesRequest(upload_id=upload_id)
        message.data.offset = offset
        message.data.content = chunk
        message.data.crc32c = google_crc32c.value(chunk)
        yield message
    message = storage_service_pb2.StoreInstancesRequest(upload_id=upload_id)
    message.finish.object_crc32c = checksum
    yield message


def _chunks(content: bytes | Path) -> Iterator[tuple[int, bytes]]:
    if isinstance(content, bytes):
        for offset in range(0, len(content), CHUNK_BYTES):
            yield offset, content[offset : offset + CHUNK_BYTES]
        return
    offset = 0
    with content.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield offset, chunk
            offset += len(chunk)
