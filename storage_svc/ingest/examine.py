"""Examine what has arrived: checksum, structure, expected names, digests. Blocks.

Runs in the intake process for instances that came whole, in a thread for spooled files. It imports little, because
each process that does this work has all of it in memory.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c

from imaging.dicom.attribute_value import AttributeValue
from imaging.dicom.byte_source import Buffer
from imaging.dicom.digest import DataSetDigest
from imaging.dicom.implementation import part10_prefix
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.errors import ChecksumMismatch, InstanceMismatch
from storage_svc.keeping.piece_checksums import PieceDigest

_PIECE = 8 * 1024 * 1024
_PIXEL_FACTS = tuple(field.name for field in fields(PixelDescription))


class Expected(NamedTuple):
    """What the sender says that the bytes are; empty or None where it says nothing."""

    object_crc32c: int | None = None
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    headerless_transfer_syntax_uid: str = ""
    sop_class_uid: str = ""


class Examined(NamedTuple):
    """What was found out about the bytes of an instance, in plain values: cheap to hand to another process.

    Offsets as in `ScannedInstance`.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    data_set_offset: int
    header_end: int
    inflated: bool
    rows: int
    columns: int
    number_of_frames: int
    bits_allocated: int
    pixels: str
    """See `pixels_json`."""
    frames: bytes | None
    """See `FrameIndex.to_bytes`."""
    attributes: Mapping[str, AttributeValue]
    warnings: str
    """One a line: its code and where."""
    data_set_sha256: str
    object_crc32c: int
    piece_checksums: bytes | None
    """Packed; None for an inflated data set, whose header has no range of its own."""
    prefix_bytes: int = 0
    """Preamble and file meta information that a bare data set was given."""


def pixels_json(scanned: ScannedInstance) -> str:
    """The pixel description with the keyword and VR of the element that holds the pixels; empty without pixels."""
    if scanned.pixels is None or scanned.pixel_data is None:
        return ""
    facts: dict[str, Any] = {name: getattr(scanned.pixels, name) for name in _PIXEL_FACTS}
    return json.dumps({**facts, "tag": scanned.pixel_data.tag, "vr": scanned.pixel_data.vr}, separators=(",", ":"))


def examine(content: bytes, expected: Expected) -> Examined:
    """What an instance in memory is, if it is what the sender says and sound DICOM.

    Raises
    ------
    ChecksumMismatch
        If bytes changed on the way.
    InvalidDicom
        If the scanner refuses it.
    InstanceMismatch
        If it is another instance than announced.
    """
    digests = _Digests(_scanned(content, expected))
    digests.update(content)
    return digests.examined(expected)


def examine_file(path: Path, expected: Expected) -> Examined:
    """As `examine` for a file; a bare data set gets its preamble and file meta information in the file."""
    prefix = b""
    if expected.headerless_transfer_syntax_uid:
        _check_crc(_file_crc32c(path), expected)
        with mapped(path) as data:
            prefix = _file_meta(data, expected.headerless_transfer_syntax_uid)
        _prepend(path, prefix)
    with mapped(path) as data:
        digests = _Digests(_scanned(data, expected))
    with path.open("rb", buffering=0) as file:  # read, not mapped: its pages must not fill our memory
        while piece := file.read(_PIECE):
            digests.update(piece)
    return digests.examined(expected)._replace(prefix_bytes=len(prefix))


def with_file_meta(content: bytes, expected: Expected) -> tuple[bytes, bytes]:
    """A bare data set as a Part 10 file, and what was put before it: a preamble of zeros and a file meta of ours.

    Raises
    ------
    ChecksumMismatch, InvalidDicom
        As `examine`.
    """
    _check_crc(google_crc32c.value(content), expected)
    prefix = _file_meta(content, expected.headerless_transfer_syntax_uid)
    return prefix + content, prefix


def mapped(path: Path) -> mmap.mmap | memoryview:
    """The bytes of a file, to be used in a `with` statement."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # cannot be mapped; the scanner tells what is wrong with it
            return memoryview(b"")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _scanned(data: Buffer, expected: Expected) -> ScannedInstance:
    scanned = scan(data)
    for kind, wanted, found in (
        ("study", expected.study_instance_uid, scanned.study_instance_uid),
        ("instance", expected.sop_instance_uid, scanned.sop_instance_uid),
        ("SOP Class", expected.sop_class_uid, scanned.sop_class_uid),
    ):
        if wanted and wanted != found:
            raise InstanceMismatch(
                f"The object is of another {kind} than announced",
                where=f"{kind} {found}",
                hint="Announce the UID that the data set has, or none.",
                metadata={"expected": wanted, "found": found},
            )
    return scanned


class _Digests:
    """All digests of an instance, taken in one pass."""

    def __init__(self, scanned: ScannedInstance) -> None:
        self._scanned = scanned
        self._whole = DataSetDigest(scanned.data_set_offset)
        self._pieces = None if scanned.inflated else PieceDigest(scanned.header_end, scanned.size_bytes)

    def update(self, chunk: bytes) -> None:
        self._whole.update(chunk)
        if self._pieces is not None:
            self._pieces.update(chunk)

    def examined(self, expected: Expected) -> Examined:
        whole = self._whole
        if not expected.headerless_transfer_syntax_uid:
            _check_crc(whole.object_crc32c, expected)
        scanned = self._scanned
        pixels = scanned.pixels
        return Examined(
            study_instance_uid=scanned.study_instance_uid,
            series_instance_uid=scanned.series_instance_uid,
            sop_instance_uid=scanned.sop_instance_uid,
            sop_class_uid=scanned.sop_class_uid,
            transfer_syntax_uid=scanned.transfer_syntax_uid,
            size_bytes=scanned.size_bytes,
            data_set_offset=scanned.data_set_offset,
            header_end=scanned.header_end,
            inflated=scanned.inflated,
            rows=pixels.rows if pixels else 0,
            columns=pixels.columns if pixels else 0,
            number_of_frames=pixels.number_of_frames if pixels and scanned.pixel_data else 0,
            bits_allocated=pixels.bits_allocated if pixels else 0,
            pixels=pixels_json(scanned),
            frames=None if scanned.frames is None else scanned.frames.to_bytes(),
            attributes=dict(scanned.attributes),
            piece_checksums=None if self._pieces is None else self._pieces.packed(),
            warnings="\n".join(f"{warning.code.upper()} {warning.where}".strip() for warning in scanned.warnings),
            data_set_sha256=whole.data_set_sha256.hex(),
            object_crc32c=whole.object_crc32c,
        )


def _check_crc(found: int, expected: Expected) -> None:
    if expected.object_crc32c is not None and found != expected.object_crc32c:
        raise ChecksumMismatch(
            f"The object has CRC32C {found:08x}, the sender said {expected.object_crc32c:08x}",
            hint="Bytes changed on the way or on the sender's disk: send it again.",
        )


def _file_crc32c(path: Path) -> int:
    crc = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            crc = google_crc32c.extend(crc, piece)
    return crc


def _file_meta(data: Buffer, transfer_syntax_uid: str) -> bytes:
    scanned = scan(data, transfer_syntax_uid=transfer_syntax_uid)
    return part10_prefix(scanned.sop_class_uid, scanned.sop_instance_uid, transfer_syntax_uid)


def _prepend(path: Path, prefix: bytes) -> None:
    whole = path.with_name(path.name + "-part10")
    with path.open("rb") as source, whole.open("wb") as target:
        target.write(prefix)
        target.flush()
        while os.sendfile(target.fileno(), source.fileno(), None, 1 << 30):
            pass
    whole.replace(path)
