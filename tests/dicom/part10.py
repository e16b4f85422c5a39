"""Builds DICOM files byte by byte, so that any byte of them can be wrong on purpose."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from imaging.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax,
)
from imaging.dicom.value_representation import LONG_LENGTH_VRS

CT = "1.2.840.10008.5.1.4.1.1.2"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

Values = dict[int, tuple[str, bytes]]


def element(
    tag: int, vr: str, value: bytes, *, length: int | None = None, implicit: bool = False, big: bool = False
) -> bytes:
    """One element; `length` declares another length than the value has."""
    order = ">" if big else "<"
    declared = len(value) if length is None else length
    if implicit or tag >> 16 == 0xFFFE:
        return struct.pack(order + "HHI", tag >> 16, tag & 0xFFFF, declared) + value
    if vr.encode() in LONG_LENGTH_VRS:
        return struct.pack(order + "HH2s2xI", tag >> 16, tag & 0xFFFF, vr.encode(), declared) + value
    return struct.pack(order + "HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), declared) + value


def text(value: str, encoding: str = "ascii") -> bytes:
    """The value padded to an even length."""
    raw = value.encode(encoding)
    return raw + b" " * (len(raw) % 2)


def uid(value: str) -> bytes:
    """The UID padded to an even length."""
    raw = value.encode()
    return raw + b"\0" * (len(raw) % 2)


def us(value: int) -> bytes:
    """A 16-bit number, little endian."""
    return struct.pack("<H", value)


def identity(sop_class: str = CT) -> Values:
    """The elements that every instance must have."""
    return {
        0x00080016: ("UI", uid(sop_class)),
        0x00080018: ("UI", uid("1.2.3.4.5")),
        0x0020000D: ("UI", uid("1.2.3")),
        0x0020000E: ("UI", uid("1.2.3.4")),
    }


def image(rows: int = 4, columns: int = 4, *, pixel_data: bytes | None = None) -> Values:
    """A CT image of 16 bits with one frame; without `pixel_data` the right number of bytes, 0 1 2 3 ..."""
    values = identity()
    values |= {
        0x00080060: ("CS", b"CT"),
        0x00280002: ("US", us(1)),
        0x00280004: ("CS", b"MONOCHROME2 "),
        0x00280010: ("US", us(rows)),
        0x00280011: ("US", us(columns)),
        0x00280100: ("US", us(16)),
        0x00280101: ("US", us(12)),
        0x00280102: ("US", us(11)),
        0x00280103: ("US", us(0)),
    }
    if pixel_data is None:
        pixel_data = bytes(index % 251 for index in range(rows * columns * 2))
    values[0x7FE00010] = ("OW", pixel_data)
    return values


def data_set(values: Values, *, implicit: bool = False, big: bool = False) -> bytes:
    """The elements in the order of their tags. Only text values are right in big endian."""
    return b"".join(element(tag, vr, value, implicit=implicit, big=big) for tag, (vr, value) in sorted(values.items()))


def file_meta(
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN,
    *,
    extra: bytes = b"",
    group_length: int | None = None,
    sop_class: str = CT,
) -> bytes:
    """Preamble of zeros, prefix and file meta information."""
    body = element(0x00020001, "OB", b"\0\1")
    body += element(0x00020002, "UI", uid(sop_class)) + element(0x00020003, "UI", uid("1.2.3.4.5"))
    body += element(0x00020010, "UI", uid(transfer_syntax_uid)) + extra
    declared = len(body) if group_length is None else group_length
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", declared)) + body


def part10(values: Values | bytes, transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """A whole file."""
    syntax = transfer_syntax(transfer_syntax_uid)
    body = values if isinstance(values, bytes) else data_set(values, implicit=syntax.implicit_vr)
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        body = deflate(body)
    return file_meta(transfer_syntax_uid) + body


def deflate(body: bytes) -> bytes:
    """A raw deflate stream of even length."""
    deflater = zlib.compressobj(9, wbits=-15)
    stream = deflater.compress(body) + deflater.flush()
    return stream + b"\0" * (len(stream) % 2)


def nested(depth: int, *, undefined: bool = True) -> bytes:
    """`depth` sequences inside each other, around nothing."""
    tag = 0x00081140
    if undefined:
        opening = element(tag, "SQ", b"", length=UNDEFINED) + element(ITEM, "", b"", length=UNDEFINED)
        closing = element(ITEM_END, "", b"") + element(SEQUENCE_END, "", b"")
        return opening * depth + closing * depth
    body = b""
    for _ in range(depth):
        body = element(tag, "SQ", element(ITEM, "", body))
    return body


def encapsulated(fragments: Iterable[bytes], *, table: bytes = b"", close: bool = True) -> bytes:
    """The pixel data element with these fragments as they are."""
    body = element(ITEM, "", table) + b"".join(element(ITEM, "", fragment) for fragment in fragments)
    end = element(SEQUENCE_END, "", b"") if close else b""
    return element(0x7FE00010, "OB", b"", length=UNDEFINED) + body + end
