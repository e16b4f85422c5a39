"""Which prefix of a progressive HTJ2K frame is which smaller image, told by its TLM marker (ISO/IEC 15444-1 A.7.1).

The transfer syntax with RPCL options (PS3.5 A.4.11) puts the packets of the lowest resolution first. Where each
resolution is a tile-part of its own, the first bytes of the frame are whole images, each twice as wide and high as the
one before. Resolution level 0 is the frame; at level n it is halved n times, rounded up.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL

_START: Final = b"\xff\x4f\xff\x51"
_COD, _TLM, _SOT = 0xFF52, 0xFF55, 0xFF90
_RPCL: Final = 2
_SOT_BYTES: Final = 12
MAX_LEVEL: Final = 32
"""The most decompositions that a codestream can have (15444-1 A.6.1)."""


def resolution_prefixes(frame: bytes | memoryview, transfer_syntax_uid: str) -> tuple[int, ...]:
    """Bytes of the frame that give each resolution level: `[0]` is all, `[n]` the prefix for level n.

    A frame that cannot be cut, because it is of another transfer syntax, of several tiles, or not in one tile-part a
    resolution, has level 0 alone: `(len(frame),)`. Only the main header and the first tile-part's header are read, so
    that a prefix tells the same as the whole, but for level 0.

    Parameters
    ----------
    frame
        The frame without padding, or any prefix of it that holds the main header.
    """
    whole = (len(frame),)
    if transfer_syntax_uid != HTJ2K_LOSSLESS_RPCL or bytes(frame[:4]) != _START:
        return whole
    levels, lengths, offset = -1, b"", 2
    try:
        while (marker := _number(frame, offset)) != _SOT:
            size = _number(frame, offset + 2)
            segment = bytes(frame[offset + 4 : offset + 2 + size])
            if size < 2 or len(segment) != size - 2:
                return whole
            if marker == _COD:
                if segment[1] != _RPCL:
                    return whole
                levels = segment[5]
            elif marker == _TLM:
                lengths += _tile_part_lengths(segment)
            offset += 2 + size
        (tile_parts,) = struct.unpack_from(">B", frame, offset + _SOT_BYTES - 1)
    except (IndexError, struct.error):
        return whole
    sizes = struct.unpack(f">{len(lengths) // 4}I", lengths)
    if levels > MAX_LEVEL or not len(sizes) == tile_parts == levels + 1:
        return whole
    prefixes = []
    for size in sizes:
        offset += size
        prefixes.append(offset)
    return (len(frame), *reversed(prefixes[:-1]))


def at_level(pixels: PixelDescription, resolution_level: int) -> PixelDescription:
    """The description of the image at that level: rows and columns halved so many times, rounded up."""
    step = 1 << resolution_level
    return replace(pixels, rows=-(-pixels.rows // step), columns=-(-pixels.columns // step))


def _tile_part_lengths(segment: bytes) -> bytes:
    """The lengths, 4 bytes each, of a TLM segment about one tile; nothing if it cannot be understood."""
    kind = segment[1]
    tile_bytes, length_bytes = (kind >> 4) & 3, 4 if kind & 0x40 else 2
    entry = tile_bytes + length_bytes
    if tile_bytes == 3 or (len(segment) - 2) % entry:
        return b""
    entries = [segment[start : start + entry] for start in range(2, len(segment), entry)]
    if any(any(each[:tile_bytes]) for each in entries):
        return b""
    return b"".join(each[tile_bytes:].rjust(4, b"\0") for each in entries)


def _number(frame: bytes | memoryview, offset: int) -> int:
    value: int = struct.unpack_from(">H", frame, offset)[0]
    return value
