"""Our own tables of the Standard against pydicom's, and file meta information against what pydicom writes."""

from __future__ import annotations

from io import BytesIO

import pydicom.charset
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, UID_dictionary

from imaging.dicom import standard_tables as tables
from imaging.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, part10_prefix


def test_sequences_are_those_of_the_dictionary() -> None:
    assert {tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ"} == tables.SEQUENCE_TAGS


def test_image_classes_are_those_of_the_dictionary() -> None:
    assert {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Image" in name and "Storage" in name and "State" not in name
    } == tables.IMAGE_STORAGE_UIDS


def test_character_sets_are_those_of_pydicom() -> None:
    assert pydicom.charset.python_encoding == tables.ENCODINGS_BY_TERM
    assert pydicom.charset.CODES_TO_ENCODINGS == tables.ENCODINGS_BY_ESCAPE
    assert pydicom.charset.STAND_ALONE_ENCODINGS == tables.STAND_ALONE_TERMS
    assert pydicom.charset.default_encoding == tables.DEFAULT_ENCODING


@pytest.mark.parametrize("instance", ["1.2", "1.2.3", "2.25." + "1" * 39])
def test_file_meta_is_what_pydicom_writes(instance: str) -> None:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    write_file_meta_info(buffer, meta)
    made = part10_prefix("1.2.840.10008.5.1.4.1.1.2", instance, "1.2.840.10008.1.2.1")
    assert made == b"\0" * 128 + b"DICM" + buffer.getvalue()
