"""Frames of small objects that are in memory already: read and proven in the event loop, without a change of threads.

Handing a slice to another thread and back takes longer than reading it. Objects that are not in the page cache, large
ones, and frames that must be decoded take the way through threads, as does whatever is not as it should be: that way
tells why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np

from imaging.objectstore import ObjectStore
from storage_svc.keeping.object_check import OK
from storage_svc.retrieve.frame_source import FrameGroup, StoredFrame, frames_in

MOST_BYTES = 1024 * 1024
"""Larger objects would hold up the event loop, 0.1 ms a mebibyte."""


@dataclass(frozen=True, slots=True)
class Cached:
    """What one read gave, header and frames; to be used before the next."""

    header: bytes
    frames: Iterator[StoredFrame]


class CachedFrames:
    """Reads for one stream, into one buffer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._buffer = np.empty(0, np.uint8)

    def read(self, group: FrameGroup) -> Cached | None:
        """The frames of a group as they are kept, and its header; None if that takes waiting or is not sound."""
        row = group.row
        size = row["size_bytes"]
        if size > MOST_BYTES or row["condition"] != OK or group.frames.inflated:
            return None
        if len(self._buffer) < size:
            self._buffer = np.empty(size, np.uint8)
        data = self._buffer[:size]
        if not self._store.read_at_once(row["object_key"], data.data):
            return None
        if google_crc32c.value(data) != row["object_crc32c"]:
            return None
        header = data[row["data_set_offset"] : row["header_end"]].tobytes() if group.with_header else b""
        return Cached(header, frames_in(data, 0, group, row["transfer_syntax_uid"]))
