"""The two digests of an instance: SHA-256 of its data set is its identity, CRC32C of all bytes goes end to end."""

from __future__ import annotations

import hashlib

import google_crc32c

from imaging.dicom.byte_source import Buffer, flat_bytes
from imaging.dicom.scanned_instance import ScannedInstance

_PIECE = 8 * 1024 * 1024


class DataSetDigest:
    """Digests bytes as they arrive, in order: the SHA-256 begins at `data_set_offset`, the CRC32C at the first byte.

    The same data set wrapped in another preamble and file meta information, as DIMSE and STOW-RS do, has the same
    SHA-256.
    """

    __slots__ = ("_crc32c", "_data_set_offset", "_sha256", "_size")

    def __init__(self, data_set_offset: int) -> None:
        self._data_set_offset = data_set_offset
        self._sha256 = hashlib.sha256()
        self._crc32c = 0
        self._size = 0

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the file."""
        with memoryview(chunk) as view:
            before = min(max(self._data_set_offset - self._size, 0), len(view))
            self._sha256.update(view[before:] if before else view)
        self._crc32c = google_crc32c.extend(self._crc32c, bytes(chunk) if not isinstance(chunk, bytes) else chunk)
        self._size += len(chunk)

    @property
    def size_bytes(self) -> int:
        """Bytes taken so far."""
        return self._size

    @property
    def data_set_sha256(self) -> bytes:
        """SHA-256 of the bytes from `data_set_offset` on, 32 bytes."""
        return self._sha256.digest()

    @property
    def object_crc32c(self) -> int:
        """CRC32C (RFC 3720) of all bytes, 0 to 2^32 - 1."""
        return self._crc32c


def data_set_digest(data: Buffer, scanned: ScannedInstance) -> DataSetDigest:
    """The digests of a whole file that was scanned; a deflated data set is digested as it was sent."""
    flat = flat_bytes(data)
    digest = DataSetDigest(scanned.data_set_offset)
    for start in range(0, len(flat), _PIECE):
        digest.update(bytes(flat[start : start + _PIECE]))
    return digest
