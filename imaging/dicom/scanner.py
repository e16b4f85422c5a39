"""The bounded scanner: one pass over an instance, every length checked, nothing of the pixels copied.

pydicom accepts truncated and hostile files silently; this scanner alone judges structure, and pydicom reads only
headers that passed it.
"""

from __future__ import annotations

from dataclasses import dataclass

from imaging.dicom.attribute_value import AttributeValue
from imaging.dicom.byte_source import Buffer, flat_bytes
from imaging.dicom.deflated import inflate_data_set
from imaging.dicom.element_walk import PIXEL_DATA_TAGS, walk_data_set
from imaging.dicom.file_meta import FileMeta, read_file_meta
from imaging.dicom.frame_index import FrameIndex
from imaging.dicom.frame_layout import ValueRange, encapsulated_frames, native_frames
from imaging.dicom.headerless import guess_transfer_syntax, starts_with_file_meta
from imaging.dicom.image_classes import image_sop_classes
from imaging.dicom.indexed_attributes import AttributeReader
from imaging.dicom.limits import DEFAULT_LIMITS, ScanLimits
from imaging.dicom.pixel_attributes import read_pixel_description
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.preamble import META_START, check_prefix, has_part10_prefix, note_disguise
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.scanned_instance import PixelDataLocation, ScannedInstance
from imaging.dicom.tag_path import place, tag_text
from imaging.dicom.transfer_syntax import TransferSyntax, transfer_syntax
from imaging.dicom.uid import validate_uid
from imaging.dicom.walked_data_set import WalkedDataSet
from imaging.errors import InvalidDicom, LimitExceeded, NotDicom, TruncatedDicom

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
DIRECTORY_RECORDS = 0x00041220
PIXEL_DATA_PROVIDER_URL = 0x00287FE0
EXTENDED_OFFSETS = 0x7FE00001
EXTENDED_LENGTHS = 0x7FE00002

_IDENTITY = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
}
_MAX_UID_VALUE = 256


@dataclass(frozen=True, slots=True)
class _DataSet:
    """The data set as it is walked: the file itself, or the inflated bytes."""

    data: Buffer
    start: int
    syntax: TransferSyntax
    inflated: bool
    note: str
    walked: WalkedDataSet


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
        Refuse an image without pixel data, which is what is left of a file cut off between two elements. If false, it
        is a warning (`no_pixel_data`).

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
    uids = _identity(data_set, log, meta)
    attributes = AttributeReader(
        data_set.data,
        data_set.walked,
        little_endian=data_set.syntax.little_endian,
        limits=limits,
        log=log,
        note=data_set.note,
    ).read()
    location = _pixel_data(data_set, log)
    pixels = read_pixel_description(
        data_set.data,
        data_set.walked,
        pixel_tag=None if location is None else location.tag,
        little_endian=data_set.syntax.little_endian,
        note=data_set.note,
        log=log,
    )
    if location is None:
        _check_no_pixel_data(data_set, uids[SOP_CLASS_UID], log, require_pixel_data)
    frames = None if location is None or pixels is None else _frames(data_set, location, pixels, log)
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


def _walk(data: Buffer, meta: FileMeta, limits: ScanLimits, log: WarningLog) -> _DataSet:
    syntax = transfer_syntax(meta.transfer_syntax_uid, where=place(0x00020010, META_START))
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
    return _DataSet(data, start, syntax, syntax.deflated, note, walked)


def _identity(data_set: _DataSet, log: WarningLog, meta: FileMeta) -> dict[int, str]:
    """The four UIDs, checked; and a warning where the file meta information names others."""
    uids = {tag: _uid(data_set, tag, name) for tag, name in _IDENTITY.items()}
    for tag, stated in (
        (SOP_CLASS_UID, meta.media_storage_sop_class_uid),
        (SOP_INSTANCE_UID, meta.media_storage_sop_instance_uid),
    ):
        if stated and stated != uids[tag]:
            offset = data_set.walked.elements[tag][1]
            message = f"{_IDENTITY[tag]} differs from the file meta information; the data set's counts"
            log.add("meta_mismatch", place(tag, offset, note=data_set.note), message)
    return uids


def _uid(data_set: _DataSet, tag: int, name: str) -> str:
    element = data_set.walked.elements.get(tag)
    if element is None:
        raise InvalidDicom(
            f"{name} is missing",
            where=place(tag, data_set.start, note=data_set.note),
            hint=(
                "This is a DICOMDIR, the table of contents of a medium: send the files that it names."
                if DIRECTORY_RECORDS in data_set.walked.elements
                else "An instance must have it: add it at the source."
            ),
        )
    _, offset, value_offset, length = element
    value = bytes(data_set.data[value_offset : value_offset + min(length, _MAX_UID_VALUE)])
    where = place(tag, offset, note=data_set.note)
    for _, other_offset, other_value, other_length in data_set.walked.duplicates.get(tag, ()):
        other = bytes(data_set.data[other_value : other_value + min(other_length, _MAX_UID_VALUE)])
        if other != value:
            raise InvalidDicom(
                f"{name} is in the data set twice with different values",
                where=place(tag, other_offset, note=data_set.note),
                hint="Which one is true cannot be known: correct it at the source.",
            )
    # One NUL pads to even length (PS3.5 9.1); spaces are a common mistake. Latin-1 keeps every other byte visible.
    return validate_uid(value.rstrip(b"\0 ").decode("latin-1"), where=where, name=name)


def _pixel_data(data_set: _DataSet, log: WarningLog) -> PixelDataLocation | None:
    walked = data_set.walked
    present = [tag for tag in PIXEL_DATA_TAGS if tag in walked.elements]
    if not present:
        return None
    if len(present) > 1:
        log.add("pixel_mismatch", tag_text(present[1]), "There is more than one pixel data element; one is used")
    tag = present[0]
    vr, offset, value_offset, length = walked.elements[tag]
    fragments = walked.fragments
    # The fragments kept are those of the first encapsulated element.
    encapsulated = fragments is not None and fragments.end == value_offset + length + 8
    if tag in walked.duplicates:
        raise InvalidDicom(
            "Pixel data is in the data set twice",
            where=place(tag, walked.duplicates[tag][0][1], note=data_set.note),
            hint="Which one is true cannot be known: correct it at the source.",
        )
    return PixelDataLocation(tag, vr.decode("ascii"), offset, value_offset, length, encapsulated)


def _frames(
    data_set: _DataSet, location: PixelDataLocation, pixels: PixelDescription, log: WarningLog
) -> FrameIndex | None:
    where = place(location.tag, location.element_offset, note=data_set.note)
    syntax, walked = data_set.syntax, data_set.walked
    if location.encapsulated != syntax.encapsulated:
        kind = "encapsulated" if location.encapsulated else "not encapsulated"
        log.add("pixel_encoding", where, f"The pixel data is {kind}, against its transfer syntax")
        return None
    if not location.encapsulated or walked.fragments is None:
        return native_frames(
            location.value_offset,
            location.value_length,
            pixels,
            inflated=data_set.inflated,
            where=where,
            log=log,
        )
    return encapsulated_frames(
        data_set.data,
        walked.fragments,
        pixels,
        syntax,
        extended=_extended_offset_table(walked),
        inflated=data_set.inflated,
        where=where,
        log=log,
    )


def _extended_offset_table(walked: WalkedDataSet) -> tuple[ValueRange, ValueRange | None] | None:
    offsets = walked.elements.get(EXTENDED_OFFSETS)
    if offsets is None or offsets[3] == 0:
        return None
    lengths = walked.elements.get(EXTENDED_LENGTHS)
    return (offsets[2], offsets[3]), None if lengths is None else (lengths[2], lengths[3])


def _check_no_pixel_data(data_set: _DataSet, sop_class_uid: str, log: WarningLog, required: bool) -> None:
    """An image without pixels is what is left of a file that was cut off between two elements."""
    if sop_class_uid not in image_sop_classes() or PIXEL_DATA_PROVIDER_URL in data_set.walked.elements:
        return
    where = place(PIXEL_DATA_TAGS[0], len(data_set.data), note=data_set.note)
    if required:
        raise TruncatedDicom(
            "The image has no pixel data",
            where=where,
            hint="Send the file again: it seems to be cut off before its pixel data.",
        )
    log.add("no_pixel_data", where, "The image has no pixel data")


def _instance(
    data: Buffer,
    meta: FileMeta,
    data_set: _DataSet,
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
