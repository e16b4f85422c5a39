"""The file meta information: group 0002, always in Explicit VR Little Endian (PS3.10 7.1)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from imaging.dicom.byte_source import Buffer
from imaging.dicom.limits import DEFAULT_LIMITS, ScanLimits
from imaging.dicom.preamble import META_START
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import place, tag_text
from imaging.dicom.value_representation import LONG_LENGTH_VRS, SHORT_LENGTH_VRS, UNDEFINED_LENGTH
from imaging.errors import InvalidDicom, LimitExceeded, TruncatedDicom

GROUP_LENGTH = 0x00020000
MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
TRANSFER_SYNTAX_UID = 0x00020010

_TAG = Struct("<HH")
_HEADER = Struct("<HH2sH")
_LENGTH = Struct("<I")
_MAX_UID_VALUE = 66


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file meta information says; the SOP UIDs are as written there, unchecked, empty if absent.

    `end` is the offset of the data set's first byte.
    """

    transfer_syntax_uid: str
    media_storage_sop_class_uid: str
    media_storage_sop_instance_uid: str
    end: int


def read_file_meta(
    data: Buffer, *, start: int = META_START, limits: ScanLimits = DEFAULT_LIMITS, log: WarningLog | None = None
) -> FileMeta:
    """The file meta information that starts at `start`; the bytes after it are not looked at.

    Raises
    ------
    TruncatedDicom
        If it is cut off, or its group length goes past the end of the file.
    InvalidDicom
        If an element has no VR, or the transfer syntax is missing or contradictory.
    """
    log = log or WarningLog(limits.max_warnings)
    values: dict[int, bytes] = {}
    declared_end: int | None = None
    count = 0
    size = len(data)
    position = start
    while position + 4 <= size:
        group, number = _TAG.unpack_from(data, position)
        if group != 0x0002:
            break
        tag = group << 16 | number
        value_offset, length = _element(data, position, tag)
        count += 1
        if count > limits.max_elements:
            raise LimitExceeded(
                f"The file meta information has more than {limits.max_elements} elements",
                where=place(tag, position),
                hint="Raise max_elements if the source is trusted.",
            )
        if value_offset + length > size:
            raise TruncatedDicom(
                f"The element declares {length} bytes, {size - value_offset} are there",
                where=place(tag, position),
                hint="Send the file again: its end is missing, or this length is wrong.",
            )
        value = bytes(data[value_offset : value_offset + min(length, _MAX_UID_VALUE)])
        if tag in values:
            _note_duplicate(tag, position, values[tag] == value, log)
        else:
            values[tag] = value
            if tag == GROUP_LENGTH:
                declared_end = _declared_end(value, length, position, value_offset, size)
        position = value_offset + length
    if 0 < size - position < 4:
        raise TruncatedDicom(
            f"The file ends within an element: {size - position} bytes are left",
            where=f"byte {position}",
            hint="Send the file again: its end is missing.",
        )
    _check_group_length(declared_end, position, start, log)
    return FileMeta(
        _transfer_syntax(values, start),
        _uid_text(values.get(MEDIA_STORAGE_SOP_CLASS_UID, b"")),
        _uid_text(values.get(MEDIA_STORAGE_SOP_INSTANCE_UID, b"")),
        position,
    )


def _element(data: Buffer, position: int, tag: int) -> tuple[int, int]:
    """Value offset and length of the element at `position`."""
    size = len(data)
    if position + 8 > size:
        raise TruncatedDicom(
            f"{size - position} bytes are left, too few for an element",
            where=place(tag, position),
            hint="Send the file again: its end is missing.",
        )
    _, _, vr, length = _HEADER.unpack_from(data, position)
    if vr in SHORT_LENGTH_VRS:
        return position + 8, length
    if vr not in LONG_LENGTH_VRS:
        raise InvalidDicom(
            "An element of the file meta information has no VR of the Standard",
            where=place(tag, position),
            hint="The file meta information is always in Explicit VR Little Endian (PS3.10 7.1): correct the writer.",
        )
    if position + 12 > size:
        raise TruncatedDicom(
            f"{size - position} bytes are left, too few for an element",
            where=place(tag, position),
            hint="Send the file again: its end is missing.",
        )
    (length,) = _LENGTH.unpack_from(data, position + 8)
    if length == UNDEFINED_LENGTH or vr == b"SQ":
        raise InvalidDicom(
            "The file meta information holds a sequence or an undefined length",
            where=place(tag, position),
            hint="No element of group 0002 may have one (PS3.10 7.1): correct the writer.",
        )
    return position + 12, length


def _declared_end(value: bytes, length: int, position: int, value_offset: int, size: int) -> int:
    if length != 4:
        raise InvalidDicom(
            f"The group length of the file meta information has {length} bytes instead of 4",
            where=place(GROUP_LENGTH, position),
            hint="Correct the writer.",
        )
    declared = int.from_bytes(value, "little")
    if value_offset + 4 + declared > size:
        raise TruncatedDicom(
            f"The file meta information declares {declared} bytes, {size - value_offset - 4} are there",
            where=place(GROUP_LENGTH, position),
            hint="Send the file again: its end is missing, or this length is wrong.",
        )
    return value_offset + 4 + declared


def _check_group_length(declared_end: int | None, end: int, start: int, log: WarningLog) -> None:
    if declared_end is None:
        log.add("group_length", place(GROUP_LENGTH, start), "The file meta information has no group length")
    elif declared_end != end:
        message = f"The group length says that group 0002 ends at byte {declared_end}; it ends at byte {end}"
        log.add("group_length", place(GROUP_LENGTH, start), message)


def _note_duplicate(tag: int, position: int, same: bool, log: WarningLog) -> None:
    if tag == TRANSFER_SYNTAX_UID and not same:
        raise InvalidDicom(
            "Two different transfer syntaxes are declared",
            where=place(tag, position),
            hint="Which one is true cannot be known: correct the writer.",
        )
    log.add("duplicate_tag", place(tag, position), "The element is in group 0002 more than once; the first one counts")


def _transfer_syntax(values: dict[int, bytes], start: int) -> str:
    uid = _uid_text(values.get(TRANSFER_SYNTAX_UID, b""))
    if uid:
        return uid
    raise InvalidDicom(
        f"Transfer Syntax UID {tag_text(TRANSFER_SYNTAX_UID)} is missing",
        where=place(TRANSFER_SYNTAX_UID, start),
        hint="How the data set is encoded cannot be known: add it at the source.",
    )


def _uid_text(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")
