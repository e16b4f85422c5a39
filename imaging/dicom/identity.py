"""The four UIDs by which an instance is known, checked before anything is named after them."""

from __future__ import annotations

from imaging.dicom.file_meta import FileMeta
from imaging.dicom.opened_data_set import OpenedDataSet
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import place
from imaging.dicom.uid import is_valid_uid, validate_uid
from imaging.errors import InvalidDicom

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
_DIRECTORY_RECORDS = 0x00041220

_NAMES = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
}
_MAX_UID_VALUE = 256


def read_identity(data_set: OpenedDataSet, log: WarningLog, meta: FileMeta) -> dict[int, str]:
    """The four UIDs by tag, checked; and a warning where the file meta information names others.

    Raises
    ------
    InvalidDicom
        If one is missing, is no UID, or is there twice with different values.
    """
    uids = {tag: _uid(data_set, tag, name) for tag, name in _NAMES.items()}
    for tag, stated in (
        (SOP_CLASS_UID, meta.media_storage_sop_class_uid),
        (SOP_INSTANCE_UID, meta.media_storage_sop_instance_uid),
    ):
        if stated and stated != uids[tag]:
            offset = data_set.walked.elements[tag][1]
            message = f"{_NAMES[tag]} differs from the file meta information; the data set's counts"
            log.add("meta_mismatch", place(tag, offset, note=data_set.note), message)
    return uids


def _uid(data_set: OpenedDataSet, tag: int, name: str) -> str:
    element = data_set.walked.elements.get(tag)
    if element is None:
        raise InvalidDicom(
            f"{name} is missing",
            where=place(tag, data_set.start, note=data_set.note),
            hint=(
                "This is a DICOMDIR, the table of contents of a medium: send the files that it names."
                if _DIRECTORY_RECORDS in data_set.walked.elements
                else "An instance must have it: add it at the source."
            ),
        )
    _, offset, value_offset, length = element
    value = bytes(data_set.data[value_offset : value_offset + min(length, _MAX_UID_VALUE)])
    for _, other_offset, other_value, other_length in data_set.walked.duplicates.get(tag, ()):
        other = bytes(data_set.data[other_value : other_value + min(other_length, _MAX_UID_VALUE)])
        if other != value:
            raise InvalidDicom(
                f"{name} is in the data set twice with different values",
                where=place(tag, other_offset, note=data_set.note),
                hint="Which one is true cannot be known: correct it at the source.",
            )
    # One NUL pads to even length (PS3.5 9.1); spaces are a common mistake. Latin-1 keeps every other byte visible.
    uid = value.rstrip(b"\0 ").decode("latin-1")
    return uid if is_valid_uid(uid) else validate_uid(uid, where=place(tag, offset, note=data_set.note), name=name)
