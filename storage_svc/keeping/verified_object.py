"""Objects read with proof: by its checksum when all of an object is read, by those of its pieces when a part is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import google_crc32c

from imaging.errors import DataLoss
from imaging.objectstore import ObjectStore
from storage_svc.keeping.object_check import OK
from storage_svc.keeping.piece_checksums import PieceChecksums

Row = Mapping[str, Any]
_PIECE = 8 * 1024 * 1024
_LARGE = 16 * 1024 * 1024


def require_sound(row: Row) -> None:
    """Pass if nothing bad is known of an instance's object.

    Raises
    ------
    DataLoss
        If it was found damaged: what it holds by now need not be looked at.
    """
    if row["condition"] != OK:
        raise damaged(row)


def read_whole(store: ObjectStore, row: Row) -> bytes:
    """All bytes of an instance's object.

    Raises
    ------
    DataLoss
        If they are not the bytes that were stored.
    """
    require_sound(row)
    content = store.read(row["object_key"])
    if len(content) != row["size_bytes"] or google_crc32c.value(content) != row["object_crc32c"]:
        raise damaged(row)
    return content


def is_sound(store: ObjectStore, row: Row) -> bool:
    """True if the object is there with the bytes that were stored; reads all of it, in pieces."""
    found = store.stat(row["object_key"])
    if found is None or found.size_bytes != row["size_bytes"]:
        return False
    try:
        for _ in proven_pieces(store, row):
            pass
    except DataLoss:
        return False
    return True


def proven_pieces(store: ObjectStore, row: Row) -> Iterator[bytes]:
    """All bytes of an instance's object in pieces, for whoever uses none of them before the last has come.

    What the first release had replaced has no checksum: who reads an older version compares the digest.

    Raises
    ------
    DataLoss
        At the end at the latest, if they are not the bytes that were stored.
    """
    require_sound(row)
    crc, size = 0, row["size_bytes"]
    for start in range(0, size, _PIECE):
        piece = store.read(row["object_key"], start, min(_PIECE, size - start))
        crc = google_crc32c.extend(crc, piece)
        yield piece
    if row["object_crc32c"] not in (None, crc):
        raise damaged(row)


def read_range(store: ObjectStore, row: Row, offset: int, length: int) -> bytes:
    """A part of an instance's object; what is read around it, up to the borders of the pieces, proves it.

    Parameters
    ----------
    row
        With `piece_checksums`. Where pieces have none, all of the object is read to prove a part; a large object that
        the first release stored is believed until the scrub has come to it.

    Raises
    ------
    DataLoss
        If these are not the bytes that were stored.
    """
    require_sound(row)
    if row["piece_checksums"] is None:
        if row["size_bytes"] > _LARGE and not row["inflated"]:
            return store.read(row["object_key"], offset, length)
        return read_whole(store, row)[offset : offset + length]
    checksums = PieceChecksums.from_bytes(row["piece_checksums"])
    around = checksums.pieces_around(offset, length, row["size_bytes"])
    if around is None:
        return read_whole(store, row)[offset : offset + length]
    begin, end = around
    content = store.read(row["object_key"], begin, end - begin)
    if not checksums.prove(begin, content):
        raise damaged(row)
    return content[offset - begin : offset - begin + length]


def read_unproven(store: ObjectStore, row: Row, offset: int, length: int) -> bytes:
    """A part of an instance's object, for whoever reads all parts and compares the checksum at the end.

    Raises
    ------
    DataLoss
        If the object is gone or shorter than it was.
    """
    require_sound(row)
    return store.read(row["object_key"], offset, length)


def damaged(row: Row) -> DataLoss:
    """The error for an object that is not what was stored."""
    return DataLoss(
        "The stored bytes of the instance no longer match their checksum",
        where=row["object_key"],
        hint="Send the instance again, or restore the object from a backup and run `imaging storage verify`.",
        metadata={"sop_instance_uid": row["sop_instance_uid"]},
    )
