"""Objects read with proof: the size always, the checksum wherever the whole object is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import google_crc32c

from imaging.errors import DataLoss
from imaging.objectstore import ObjectStore

Row = Mapping[str, Any]
_PIECE = 8 * 1024 * 1024


def read_whole(store: ObjectStore, row: Row) -> bytes:
    """All bytes of an instance's object.

    Raises
    ------
    DataLoss
        If they are not the bytes that were stored.
    """
    content = store.read(row["object_key"])
    if len(content) != row["size_bytes"] or google_crc32c.value(content) != row["object_crc32c"]:
        raise damaged(row)
    return content


def is_sound(store: ObjectStore, row: Row) -> bool:
    """True if the object is there with the bytes that were stored; reads all of it, in pieces."""
    found = store.stat(row["object_key"])
    if found is None or found.size_bytes != row["size_bytes"]:
        return False
    crc, size = 0, found.size_bytes
    try:
        for start in range(0, size, _PIECE):
            crc = google_crc32c.extend(crc, store.read(row["object_key"], start, min(_PIECE, size - start)))
    except DataLoss:
        return False
    return bool(crc == row["object_crc32c"])


def read_range(store: ObjectStore, row: Row, offset: int, length: int) -> bytes:
    """A part of an instance's object, which must have its full size.

    Raises
    ------
    DataLoss
        If the object is gone or has another size than was stored.
    """
    found = store.stat(row["object_key"])
    if found is None or found.size_bytes != row["size_bytes"]:
        raise damaged(row)
    return store.read(row["object_key"], offset, length)


def damaged(row: Row) -> DataLoss:
    """The error for an object that is not what was stored."""
    return DataLoss(
        "The stored bytes of the instance no longer match their checksum",
        where=row["object_key"],
        hint="Restore the object from a backup, or delete the study and send it again.",
        metadata={"sop_instance_uid": row["sop_instance_uid"]},
    )
