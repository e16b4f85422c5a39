"""Proof that a server keeps what was sent: checksums made here from the local bytes, compared with its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO

import google_crc32c

PART_BYTES = 8 * 1024 * 1024
"""Objects over this go in parts of this size: 10,000 parts, which S3 allows, make 80 GB."""

_PIECE = 1024 * 1024


class Proof:
    """Size, CRC-32C and ETag of local bytes. `open_content` gives them from the start, as often as asked."""

    def __init__(self, open_content: Callable[[], BinaryIO]) -> None:
        self.open_content = open_content
        self.size_bytes = 0
        checksum = 0
        for piece in self._pieces():
            checksum = google_crc32c.extend(checksum, piece)
            self.size_bytes += len(piece)
        self.crc32c = crc32c_text(checksum)
        self._etag = ""

    @property
    def in_parts(self) -> bool:
        """Whether the object is sent in parts."""
        return self.size_bytes > PART_BYTES

    def matches(self, crc32c: str | None, etag: str | None) -> bool | None:
        """Whether what the server says of its bytes is true of ours; None if it says nothing that could be compared.

        The CRC-32C counts where the server gives it. The ETag proves only when it is equal: one that is not may be
        that of an encrypted object, which is no digest of the bytes.
        """
        if crc32c and not self.in_parts:  # of parts, it is a checksum of checksums
            return crc32c == self.crc32c
        return True if etag and etag.strip('"') == self.etag() else None

    def etag(self) -> str:
        """MD5 of the bytes; of objects in parts, MD5 of the parts' MD5s and the number of parts. Not for security."""
        if not self._etag:
            parts = []
            digest = hashlib.md5(usedforsecurity=False)
            filled = 0
            for piece in self._pieces():
                digest.update(piece)
                filled += len(piece)
                if filled == PART_BYTES:
                    parts.append(digest.digest())
                    digest, filled = hashlib.md5(usedforsecurity=False), 0
            if self.in_parts:
                if filled:
                    parts.append(digest.digest())
                whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
                self._etag = f"{whole}-{len(parts)}"
            else:
                self._etag = parts[0].hex() if parts else digest.hexdigest()
        return self._etag

    def _pieces(self) -> Iterator[bytes]:
        with closing(self.open_content()) as file:
            while piece := file.read(_PIECE):
                yield piece


def crc32c_text(checksum: int) -> str:
    """A CRC-32C as S3 writes it: big-endian, base64."""
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
