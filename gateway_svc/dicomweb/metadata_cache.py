"""Metadata answers that were built before, compressed, by what they were built from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_BYTES: Final = 64 * 1024 * 1024
MOST_BYTES_OF_ONE: Final = 16 * 1024 * 1024

Key = tuple[str, str, str]
"""Resource name, ETag of the study, and the URL that stands in the answer."""


class MetadataCache:
    """The answers used last, up to a number of bytes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._answers: OrderedDict[Key, bytes] = OrderedDict()

    def get(self, key: Key) -> bytes | None:
        """The gzip bytes of an answer, if they are kept."""
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: Key, compressed: bytes) -> None:
        """Keep an answer, and let go of those that were not used for longest."""
        if len(compressed) > MOST_BYTES_OF_ONE:
            return
        self._size_bytes += len(compressed) - len(self._answers.pop(key, b""))
        self._answers[key] = compressed
        while self._size_bytes > self._most_bytes:
            _, dropped = self._answers.popitem(last=False)
            self._size_bytes -= len(dropped)
