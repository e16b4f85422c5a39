"""Inflating a deflated data set piece by piece, within a ratio and an absolute size (PS3.5 A.5, RFC 1951)."""

from __future__ import annotations

import zlib
from struct import Struct

from imaging.dicom.byte_source import Buffer
from imaging.dicom.limits import DEFAULT_LIMITS, ScanLimits
from imaging.errors import InvalidDicom, LimitExceeded, TruncatedDicom

_INPUT_PIECE = 64 * 1024
_OUTPUT_PIECE = 256 * 1024
_GZIP_TRAILER = Struct("<II")
"""CRC-32 and size of what was deflated (RFC 1952 2.3.1), which some writers leave behind the stream."""


def inflate_data_set(
    data: Buffer, start: int, *, limits: ScanLimits = DEFAULT_LIMITS, max_bytes: int | None = None
) -> bytes:
    """The inflated bytes of everything from `start` on.

    Parameters
    ----------
    data
        The file.
    start
        Offset of the first deflated byte: the first after the file meta information.
    max_bytes
        Stop after that many inflated bytes; what follows is then not looked at.

    Raises
    ------
    LimitExceeded
        As soon as the output passes the ratio or the size; at most one piece over it is held.
    TruncatedDicom
        If the deflated stream does not end within the file.
    InvalidDicom
        If it is not a deflated stream, or if other bytes than one padding NUL follow it.
    """
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    output = bytearray()
    position = start
    end = len(data)
    produced = 0
    while not inflater.eof:
        piece = inflater.unconsumed_tail
        if not piece:
            piece = bytes(data[position : min(position + _INPUT_PIECE, end)])
            position += len(piece)
        # After a full piece of output zlib may hold more of it without needing input.
        if not piece and produced < _OUTPUT_PIECE:
            raise TruncatedDicom(
                "The deflated data set ends before its last block",
                where=f"byte {end}",
                hint="Send the file again: its end is missing.",
            )
        try:
            inflated = inflater.decompress(piece, _OUTPUT_PIECE)
        except zlib.error as error:
            raise InvalidDicom(
                "The data set is not a deflated stream, although its transfer syntax says so",
                where=f"near byte {position - len(inflater.unconsumed_tail)}, byte {len(output)} inflated",
                hint="Send it again, or in Explicit VR Little Endian.",
            ) from error
        produced = len(inflated)
        output += inflated
        consumed = position - start - len(inflater.unconsumed_tail) - len(inflater.unused_data)
        _check_growth(len(output), consumed, start, limits)
        if max_bytes is not None and len(output) >= max_bytes:
            return bytes(output[:max_bytes])
    _check_rest(data, position - len(inflater.unused_data), output)
    return bytes(output)


def _check_growth(inflated: int, consumed: int, start: int, limits: ScanLimits) -> None:
    if inflated > limits.max_inflated_bytes:
        raise LimitExceeded(
            f"The deflated data set is larger than {limits.max_inflated_bytes} bytes",
            where=f"byte {start + consumed}",
            hint="Send it in a transfer syntax that is not deflated, or raise max_inflated_bytes.",
        )
    if inflated > limits.inflate_allowance_bytes and inflated > consumed * limits.max_inflate_ratio:
        raise LimitExceeded(
            f"The deflated data set grows by more than {limits.max_inflate_ratio} : 1",
            where=f"byte {start + consumed}",
            hint="Send it in a transfer syntax that is not deflated, or raise max_inflate_ratio.",
        )


def _check_rest(data: Buffer, stream_end: int, output: bytearray) -> None:
    """Only a NUL that makes the length even (PS3.5 A.5), or the trailer of a gzip writer, may follow the stream."""
    rest = len(data) - stream_end
    tail = bytes(data[stream_end : stream_end + 9])
    if rest in (8, 9) and tail[:8] == _GZIP_TRAILER.pack(zlib.crc32(output), len(output) & 0xFFFFFFFF):
        rest, tail = rest - 8, tail[8:]
    if rest > 1 or (rest == 1 and tail != b"\0"):
        raise InvalidDicom(
            f"{rest} bytes follow the end of the deflated data set",
            where=f"byte {stream_end}",
            hint="Remove what was appended, or send the file again.",
        )
