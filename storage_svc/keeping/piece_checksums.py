"""Checksums of the pieces of an object, so that a part of it can be read and proven without reading all of it.

The first piece is what comes before the pixel data, preamble included; the others have a fixed size. A small object has
the first one alone: whoever wants its pixels reads all of it, and the checksum of the object proves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error

import google_crc32c
import numpy as np

from imaging.errors import DataLoss

_SMALL_OBJECT = 1024 * 1024
_MEDIUM_OBJECT = 16 * 1024 * 1024
_MEDIUM_PIECE, _LARGE_PIECE = 64 * 1024, 256 * 1024
"""4 bytes are kept for each: 32 KiB for an object of 2 GiB."""

_HEADER = Struct("<BBQ")
"""Version, binary logarithm of the size of a piece (0: there is only the first), size of the first piece."""
_VERSION = 1


def piece_bytes_for(size_bytes: int) -> int:
    """The size of the pieces after the first; 0: they have no checksums."""
    if size_bytes <= _SMALL_OBJECT:
        return 0
    return _MEDIUM_PIECE if size_bytes <= _MEDIUM_OBJECT else _LARGE_PIECE


class PieceDigest:
    """Takes the bytes of an object as they come, in order.

    Parameters
    ----------
    first_bytes
        Size of the first piece; what is over the size of the object does not count.
    """

    __slots__ = ("_checksums", "_crc32c", "_first_bytes", "_left", "_piece_bytes")

    def __init__(self, first_bytes: int, size_bytes: int) -> None:
        self._first_bytes = self._left = min(first_bytes, size_bytes)
        self._piece_bytes = piece_bytes_for(size_bytes)
        self._checksums: list[int] = []
        self._crc32c = 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        start = 0
        while start < len(chunk) and self._left:
            part = chunk[start : start + self._left]
            self._crc32c = google_crc32c.extend(self._crc32c, part)
            start += len(part)
            self._left -= len(part)
            if not self._left:
                self._checksums.append(self._crc32c)
                self._crc32c, self._left = 0, self._piece_bytes

    def packed(self) -> bytes:
        """The checksums as they are kept: 10 bytes, and 4 for each."""
        unfinished = [self._crc32c] if self._piece_bytes and self._left < self._piece_bytes and self._checksums else []
        logarithm = self._piece_bytes.bit_length() - 1 if self._piece_bytes else 0
        checksums = np.array(self._checksums + unfinished, "<u4")
        return _HEADER.pack(_VERSION, logarithm, self._first_bytes) + checksums.tobytes()


@dataclass(frozen=True, slots=True)
class PieceChecksums:
    """The checksums that `PieceDigest` packed."""

    first_bytes: int
    piece_bytes: int
    checksums: tuple[int, ...]

    @classmethod
    def from_bytes(cls, packed: bytes) -> PieceChecksums:
        """What was packed.

        Raises
        ------
        DataLoss
            If these are not such bytes.
        """
        try:
            version, logarithm, first = _HEADER.unpack_from(packed)
            if version != _VERSION:
                raise ValueError("another format")
            checksums = np.frombuffer(packed, "<u4", -1, _HEADER.size)
            return cls(first, 1 << logarithm if logarithm else 0, tuple(checksums.tolist()))
        except (ValueError, error) as damage:
            raise DataLoss("Stored checksums are damaged", hint="Restore the database from a backup.") from damage

    def pieces_around(self, offset: int, length: int, size_bytes: int) -> tuple[int, int] | None:
        """(begin, end) of the whole pieces that hold the bytes from `offset` on; None if they have no checksums."""
        if offset + length <= self.first_bytes:
            return 0, self.first_bytes
        if not self.piece_bytes:
            return None
        begin = 0 if offset < self.first_bytes else self._border(self._number(offset))
        end = self._border(self._number(offset + length - 1) + 1) if length else begin
        return begin, min(end, size_bytes)

    def prove(self, begin: int, content: bytes) -> bool:
        """True if these are the bytes that were stored from `begin` on, which is the border of a piece."""
        number = 0 if begin < self.first_bytes else self._number(begin)
        start = 0
        while start < len(content):
            size = self.first_bytes if number == 0 else self.piece_bytes
            if number >= len(self.checksums) or self.checksums[number] != google_crc32c.value(
                content[start : start + size]
            ):
                return False
            start += size
            number += 1
        return True

    def _number(self, offset: int) -> int:
        """Which piece holds this byte, which comes after the first piece; the first is 0."""
        return 1 + (offset - self.first_bytes) // self.piece_bytes

    def _border(self, number: int) -> int:
        return self.first_bytes + (number - 1) * self.piece_bytes
