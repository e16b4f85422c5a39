"""This program as the writer of files: its names in the file meta information, and that as bytes (PS3.10 7.1)."""

from __future__ import annotations

from struct import Struct

IMPLEMENTATION_CLASS_UID = "2.25.246143527215744429485068344038132261620"
"""Identifies the program that wrote a Part 10 file, (0002,0012); one for all versions (PS3.7 D.3.3.2)."""

IMPLEMENTATION_VERSION_NAME = "IMAGING_PIPELINE"
"""(0002,0013), at most 16 characters. Without a version number, so that an update alone changes no byte of a file;
the version stands in SoftwareVersions."""

_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2sHI")


def part10_prefix(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """What stands before a data set in a file: a preamble of zeros, `DICM`, and the file meta information."""
    elements = b"".join(
        (
            _LONG.pack(2, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _text(0x0002, b"UI", sop_class_uid, b"\0"),
            _text(0x0003, b"UI", sop_instance_uid, b"\0"),
            _text(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
        )
    )
    group_length = _SHORT.pack(2, 0x0000, b"UL", 4) + len(elements).to_bytes(4, "little")
    return b"\0" * 128 + b"DICM" + group_length + elements


def _text(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    value += padding * (len(value) % 2)
    return _SHORT.pack(2, element, vr, len(value)) + value
