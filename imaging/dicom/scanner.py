"""The bounded scanner: one pass over an instance, every length checked, nothing of the pixels copied.

pydicom accepts truncated and hostile files silently; this scanner alone judges structure, and pydicom reads only
headers that passed it.
"""

from __future__ import annotations

from imaging.dicom.attribute_value import AttributeValue
from imaging.dicom.byte_source import Buffer, flat_bytes
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.element_walk import walk_data_set
from imaging.dicom.essential_content import missing_content
from imaging.dicom.file_meta import TRANSFER_SYNTAX_UID, FileMeta, read_file_meta
from imaging.dicom.frame_index import FrameIndex
from imaging.dicom.headerless import guess_transfer_syntax, starts_with_file_meta
from imaging.dicom.identity import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    read_identity,
)
from imaging.dicom.indexed_attributes import AttributeReader
from imaging.dicom.limits import DEFAULT_LIMITS, ScanLimits
from imaging.dicom.opened_data_set import OpenedDataSet
from imaging.dicom.pixel_attributes import read_pixel_description
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.pixel_location import locate_frames, locate_pixel_data
from imaging.dicom.preamble import META_START, check_prefix, has_part10_prefix, note_disguise
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.scanned_instance import PixelDataLocation, ScannedInstance
from imaging.dicom.tag_path import place
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.errors import LimitExceeded, NotDicom, TruncatedDicom


def scan(
    data: Buffer,
    *,
    limits: ScanLimits = DEFAULT_LIMITS,
    require_part10: bool = True,
    transfer_syntax_uid: str | None = None,
    require_pixel_data: bool = True,
) -> ScannedInstance:
    """What the instance is and where its parts are.

    Parameters
    ----------
    data
        The whole file; a memory map stays unread where pixels are.
    limits
        What the instance may ask for.
    require_part10
        If false, a bare data set is taken too, in the encoding that its first element shows.
    transfer_syntax_uid
        For a bare data set that came with its transfer syntax (DIMSE): `data` is then not looked at for a preamble.
    require_pixel_data
        Refuse an image without pixel data, a report without content tree and the like: that is what is left of a file
        cut off between two elements. If false, it is a warning (`no_pixel_data`, `no_content`).

    Raises
    ------
    NotDicom
        Empty, no Part 10 file, no data set.
    TruncatedDicom
        The end is missing.
    InvalidDicom
        Structure, identity or encoding is wrong; with tag path and byte offset.
    UnsupportedTransferSyntax
        The transfer syntax is unknown.
    PixelDataInvalid
        The pixel attributes cannot be true of any image.
    LimitExceeded
        More than `limits` allows.
    """
    data = flat_bytes(data)
    log = WarningLog(limits.max_warnings)
    _check_size(len(data), limits)
    meta = _encoding(data, limits, log, require_part10, transfer_syntax_uid)
    data_set = _walk(data, meta, limits, log)
    uids = read_identity(data_set, log, meta)
    attributes = AttributeReader(
        data_set.data,
        data_set.walked,
        little_endian=data_set.syntax.little_endian,
        limits=limits,
        log=log,
        note=data_set.note,
    ).read()
    location = locate_pixel_data(data_set, log)
    pixels = read_pixel_description(
        data_set.data,
        data_set.walked,
        pixel_tag=None if location is None else location.tag,
        little_endian=data_set.syntax.little_endian,
        note=data_set.note,
        log=log,
    )
    _check_content(data_set, uids[SOP_CLASS_UID], log, require_pixel_data)
    frames = None if location is None or pixels is None else locate_frames(data_set, location, pixels, log)
    return _instance(data, meta, data_set, uids, location, pixels, frames, attributes, log)


def _check_size(size: int, limits: ScanLimits) -> None:
    if size > limits.max_file_bytes:
        raise LimitExceeded(
            f"The instance has {size} bytes, more than {limits.max_file_bytes}",
            where=f"byte {limits.max_file_bytes}",
            hint="Raise max_file_bytes if instances of this size are expected.",
        )


def _encoding(
    data: Buffer, limits: ScanLimits, log: WarningLog, require_part10: bool, transfer_syntax_uid: str | None
) -> FileMeta:
    """The file meta information, or what takes its place for a bare data set."""
    if transfer_syntax_uid is not None:
        if len(data) == 0:
            raise NotDicom("The data set is empty", where="byte 0", hint="Send it again from its source.")
        return FileMeta(transfer_syntax_uid, "", "", 0)
    if require_part10 or len(data) == 0 or has_part10_prefix(data):
        check_prefix(data)
        note_disguise(data, log)
        return read_file_meta(data, start=META_START, limits=limits, log=log)
    if starts_with_file_meta(data):
        log.add("headerless", "byte 0", "The file has no preamble")
        return read_file_meta(data, start=0, limits=limits, log=log)
    uid = guess_transfer_syntax(data)
    log.add("headerless", "byte 0", "The file is a bare data set; its encoding is seen from its first element")
    return FileMeta(uid, "", "", 0)


def _walk(data: Buffer, meta: FileMeta, limits: ScanLimits, log: WarningLog) -> OpenedDataSet:
    syntax = transfer_syntax(meta.transfer_syntax_uid, where=place(TRANSFER_SYNTAX_UID, META_START))
    start, note = meta.end, ""
    if start >= len(data):
        raise TruncatedDicom(
            "The data set is missing: the file ends after the file meta information",
            where=f"byte {start}",
            hint="Send the file again: its end is missing.",
        )
    if syntax.deflated:
        data = inflate_data_set(data, start, limits=limits)
        start, note = 0, " of the inflated data set"
    walked = walk_data_set(
        data,
        start,
        len(data),
        implicit_vr=syntax.implicit_vr,
        little_endian=syntax.little_endian,
        limits=limits,
        log=log,
        note=note,
    )
    return OpenedDataSet(data, start, syntax, syntax.deflated, note, walked)


def _check_content(data_set: OpenedDataSet, sop_class_uid: str, log: WarningLog, required: bool) -> None:
    missing = missing_content(sop_class_uid, data_set.walked.elements.keys())
    if missing is None:
        return
    where = place(None, len(data_set.data), note=data_set.note)
    if required:
        raise TruncatedDicom(
            f"The instance has no {missing}, which its SOP Class cannot be without",
            where=where,
            hint="Send the file again: it seems to be cut off before that.",
        )
    code = "no_pixel_data" if missing == "pixel data" else "no_content"
    log.add(code, where, f"The instance has no {missing}")


def _instance(
    data: Buffer,
    meta: FileMeta,
    data_set: OpenedDataSet,
    uids: dict[int, str],
    location: PixelDataLocation | None,
    pixels: PixelDescription | None,
    frames: FrameIndex | None,
    attributes: dict[str, AttributeValue],
    log: WarningLog,
) -> ScannedInstance:
    return ScannedInstance(
        transfer_syntax_uid=meta.transfer_syntax_uid,
        sop_class_uid=uids[SOP_CLASS_UID],
        sop_instance_uid=uids[SOP_INSTANCE_UID],
        study_instance_uid=uids[STUDY_INSTANCE_UID],
        series_instance_uid=uids[SERIES_INSTANCE_UID],
        size_bytes=len(data),
        data_set_offset=meta.end,
        header_end=len(data_set.data) if location is None else location.element_offset,
        inflated=data_set.inflated,
        pixel_data=location,
        frames=frames,
        pixels=pixels,
        attributes=attributes,
        warnings=log.warnings(),
    )
