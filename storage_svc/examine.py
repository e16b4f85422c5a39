"""Examine what has arrived: checksum, structure, expected names, digests. Blocks; called in threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import google_crc32c
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from imaging.derived.equipment import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging.dicom.digest import DataSetDigest
from imaging.dicom.scanned_instance import ScannedInstance
from imaging.dicom.scanner import scan
from imaging.errors import ChecksumMismatch, InvalidArgument
from storage_svc.arrival import FROM_OUTSIDE, Arrival, Content, OriginOf, opened

_PIECE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says of an upload; empty or None where it says nothing."""

    size_bytes: int
    object_crc32c: int | None = None
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    source: str = ""
    origin: OriginOf = FROM_OUTSIDE
    headerless_transfer_syntax_uid: str = ""


def examine(content: Content, announced: Announced, traceparent: str) -> Arrival:
    """The arrival, if it is what the sender says and sound DICOM.

    Raises
    ------
    ChecksumMismatch
        If bytes changed on the way.
    InvalidDicom
        If the scanner refuses it.
    InvalidArgument
        If it is another instance than announced.
    """
    if announced.headerless_transfer_syntax_uid:
        _check_crc(_crc32c(content), announced)
        content = _with_file_meta(content, announced.headerless_transfer_syntax_uid)
    with opened(content) as data:
        scanned = scan(data)
        _check_names(scanned, announced)
    digest = _digest(content, scanned)
    if not announced.headerless_transfer_syntax_uid:
        _check_crc(digest.object_crc32c, announced)
    return Arrival(
        content=content,
        scanned=scanned,
        data_set_sha256=digest.data_set_sha256.hex(),
        object_crc32c=digest.object_crc32c,
        origin=announced.origin,
        source=announced.source,
        traceparent=traceparent,
    )


def _digest(content: Content, scanned: ScannedInstance) -> DataSetDigest:
    """The digests of all bytes; a file is read, not mapped, so that it does not fill our memory with its pages."""
    digest = DataSetDigest(scanned.data_set_offset)
    if isinstance(content, bytes):
        digest.update(content)
        return digest
    with content.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest


def _check_crc(found: int, announced: Announced) -> None:
    if announced.object_crc32c is not None and found != announced.object_crc32c:
        raise ChecksumMismatch(
            f"The object has CRC32C {found:08x}, the sender said {announced.object_crc32c:08x}",
            hint="Bytes changed on the way or on the sender's disk: send it again.",
        )


def _check_names(scanned: ScannedInstance, announced: Announced) -> None:
    for kind, expected, found in (
        ("study", announced.study_instance_uid, scanned.study_instance_uid),
        ("instance", announced.sop_instance_uid, scanned.sop_instance_uid),
    ):
        if expected and expected != found:
            raise InvalidArgument(
                f"The object is of another {kind} than announced",
                where=f"{kind} {found}",
                hint="Announce the UID that the data set has, or none.",
                metadata={"expected": expected, "found": found},
            )


def _crc32c(content: Content) -> int:
    with opened(content) as data:
        crc = 0
        for start in range(0, len(data), _PIECE):
            crc = google_crc32c.extend(crc, bytes(data[start : start + _PIECE]))
        return crc


def _with_file_meta(content: Content, transfer_syntax_uid: str) -> Content:
    """A bare data set as a Part 10 file: a preamble of zeros and a file meta of ours before the bytes as sent."""
    with opened(content) as data:
        scanned = scan(data, transfer_syntax_uid=transfer_syntax_uid)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(scanned.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(scanned.sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    buffer.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    if isinstance(content, bytes):
        return buffer.getvalue() + content
    return _prefixed(content, buffer.getvalue())


def _prefixed(path: Path, prefix: bytes) -> Path:
    whole = path.with_name(path.name + "-part10")
    with path.open("rb") as source, whole.open("wb") as target:
        target.write(prefix)
        target.flush()
        while os.sendfile(target.fileno(), source.fileno(), None, 1 << 30):
            pass
    whole.replace(path)
    return path
