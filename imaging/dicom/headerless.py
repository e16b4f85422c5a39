"""Data sets without preamble and file meta information: how they are encoded is seen from their first element."""

from __future__ import annotations

from struct import unpack_from

from imaging.dicom.byte_source import Buffer
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from imaging.dicom.value_representation import UNDEFINED_LENGTH, is_known_vr
from imaging.errors import NotDicom

_LAST_LIKELY_GROUP = 0x00FF
"""Data sets begin with group 0008 (a few with 0004 or 0010): a far higher group is no data set, or the other endian."""


def starts_with_file_meta(data: Buffer) -> bool:
    """True if file meta information stands at the very start, without a preamble."""
    return len(data) >= 8 and unpack_from("<H", data)[0] == 0x0002 and is_known_vr(bytes(data[4:6]))


def guess_transfer_syntax(data: Buffer) -> str:
    """The UID of the transfer syntax in which the first element makes sense.

    Raises
    ------
    NotDicom
        If it makes sense in none: these bytes are not a data set.
    """
    if len(data) >= 8:
        (little,) = unpack_from("<H", data)
        (big,) = unpack_from(">H", data)
        if is_known_vr(bytes(data[4:6])):
            if 0 < little <= _LAST_LIKELY_GROUP:
                return EXPLICIT_VR_LITTLE_ENDIAN
            if 0 < big <= _LAST_LIKELY_GROUP:
                return EXPLICIT_VR_BIG_ENDIAN
        (length,) = unpack_from("<I", data, 4)
        if 0 < little <= _LAST_LIKELY_GROUP and (length <= len(data) - 8 or length == UNDEFINED_LENGTH):
            return IMPLICIT_VR_LITTLE_ENDIAN
    raise NotDicom(
        f"The {len(data)} bytes are no DICOM data set",
        where="byte 0",
        hint="Check that this is a DICOM file.",
    )
