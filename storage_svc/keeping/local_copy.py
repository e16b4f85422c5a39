"""A local copy of a kept object, so that whoever looks at all of it maps a file instead of holding it in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imaging.objectstore import ObjectStore
from imaging.objectstore.os_failure import os_failures
from storage_svc.keeping.verified_object import proven_pieces


@contextmanager
def local_copy(store: ObjectStore, row: Mapping[str, Any]) -> Iterator[Path]:
    """A file with the bytes of an object, proven, for as long as this is entered. Blocks.

    Raises
    ------
    DataLoss
        If they are not the bytes that were stored.
    StorageFull
        If there is no room for it.
    """
    path = store.spool / f"compare-{secrets.token_hex(8)}"
    try:
        with os_failures("copying a stored object", store.spool), path.open("wb") as file:
            for piece in proven_pieces(store, row):
                file.write(piece)
        yield path
    finally:
        with suppress(OSError):  # the next start removes it
            path.unlink(missing_ok=True)
