"""Is an object what was stored? All of its bytes are read, in pieces, and compared with what is known of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imaging.dicom.digest import DataSetDigest
from imaging.errors import DataLoss
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_admin_pb2
from storage_svc.keeping.piece_checksums import PieceDigest

Condition = storage_admin_pb2.ObjectCondition
OK = Condition.OBJECT_CONDITION_OK
MISSING = Condition.OBJECT_CONDITION_MISSING
DIFFERING = Condition.OBJECT_CONDITION_DIFFERING
Row = Mapping[str, Any]
_PIECE = 8 * 1024 * 1024
"""How much of an object is in memory at the same time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: the row of the object as it was before, and its condition now."""

    row: Row
    condition: Condition.ValueType
    checksums: Mapping[str, Any] = field(default_factory=dict)
    """Columns that the first release did not fill, as they are for an object that is right."""


class Pace:
    """At most so many bytes a second, in the long run."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._free_at = 0.0

    async def spend(self, size_bytes: int) -> None:
        """Wait until bytes that were just read fit into the rate."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + size_bytes / self._bytes_per_second
        await asyncio.sleep(self._free_at - now)


async def check_content(store: ObjectStore, row: Row, spend: Callable[[int], Awaitable[None]] | None = None) -> Checked:
    """The condition of an object: its size, CRC32C, and the SHA-256 of its data set.

    Parameters
    ----------
    spend
        Waited for after each piece, with its size in bytes.

    Raises
    ------
    Unavailable
        If the store does not answer: nothing can be said then.
    """
    digest = DataSetDigest(row["data_set_offset"])
    size = int(row["size_bytes"])
    pieces = PieceDigest(row["header_end"], size) if row["object_crc32c"] is None and not row["inflated"] else None

    def read(start: int) -> Condition.ValueType | None:
        """Digest the next piece; the condition if no more need be read."""
        if start == 0 and (found := _by_size(store, row)) != OK:
            return found
        try:
            content = store.read(row["object_key"], start, min(_PIECE, size - start))
        except DataLoss:
            return _without(store, row)
        digest.update(content)
        if pieces is not None:
            pieces.update(content)
        return None

    for start in range(0, max(size, 1), _PIECE):
        found = await asyncio.to_thread(read, start)
        if found is not None:
            return Checked(row, found)
        if spend is not None:
            await spend(min(_PIECE, size - start))
    known = row["object_crc32c"]
    if digest.data_set_sha256.hex() != row["data_set_sha256"] or known not in (None, digest.object_crc32c):
        return Checked(row, DIFFERING)
    if known is not None:
        return Checked(row, OK)
    packed = None if pieces is None else pieces.packed()
    return Checked(row, OK, {"object_crc32c": digest.object_crc32c, "piece_checksums": packed})


async def check_size(store: ObjectStore, row: Row) -> Checked:
    """Only whether an object is there with its size; all of one that was found damaged before is read.

    Raises
    ------
    Unavailable
        If the store does not answer.
    """
    found = await asyncio.to_thread(_by_size, store, row)
    return await check_content(store, row) if found == OK != row["condition"] else Checked(row, found)


def _by_size(store: ObjectStore, row: Row) -> Condition.ValueType:
    found = store.stat(row["object_key"])
    if found is None:
        return MISSING
    return OK if found.size_bytes == row["size_bytes"] else DIFFERING


def _without(store: ObjectStore, row: Row) -> Condition.ValueType:
    """The condition of an object that could not be read."""
    return MISSING if store.stat(row["object_key"]) is None else DIFFERING
