"""One gzip stream of pieces that were compressed long before (RFC 1951, RFC 1952).

Browsers read only the first member of a gzip file, so pieces are not members. Each is a run of deflate blocks that ends
on a byte and refers to nothing before it; the checksum of the whole comes from those of the pieces.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time: the same content gives the same bytes."""
_LAST_BLOCK: Final = b"\x03\x00"
_POLYNOMIAL: Final = 0xEDB88320
_RAW: Final = -zlib.MAX_WBITS


class Deflated(NamedTuple):
    """A piece of a gzip stream."""

    content: bytes
    size_bytes: int
    """Inflated."""
    crc32: int
    shift: int
    """x^(8 * size_bytes) modulo the polynomial of the CRC: what the CRC of all before is multiplied by."""


def deflated(raw: bytes, level: int = 6) -> Deflated:
    """These bytes as a piece."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, _RAW)
    content = compressor.compress(raw) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return Deflated(content, len(raw), zlib.crc32(raw), _power(8 * len(raw)))


def inflated(piece: Deflated) -> bytes:
    """The bytes of a piece."""
    return zlib.decompressobj(_RAW).decompress(piece.content)


class GzipStream:
    """Puts pieces together; what the methods return is the stream, bit by bit."""

    def __init__(self) -> None:
        self._crc = 0
        self._size = 0

    def start(self) -> bytes:
        """The head of the stream."""
        return _HEADER

    def add(self, piece: Deflated) -> bytes:
        """The next piece."""
        self._crc = _product(piece.shift, self._crc) ^ piece.crc32
        self._size += piece.size_bytes
        return piece.content

    def finish(self) -> bytes:
        """The end of the stream."""
        return _LAST_BLOCK + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


def _product(a: int, b: int) -> int:
    """The product of two polynomials modulo that of the CRC; the highest bit is x^0."""
    product, bit = 0, 1 << 31
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


def _power(exponent: int) -> int:
    """x to this power, modulo the polynomial of the CRC."""
    power, square = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            power = _product(square, power)
        square = _product(square, square)
        exponent >>= 1
    return power
