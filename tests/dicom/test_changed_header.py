"""A header with some elements changed: those are the new ones, and all others are the bytes that they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from imaging.dicom.changed_header import changed_header, explicit_bytes, outermost_elements
from imaging.dicom.header import header_bytes, read_header
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from tests.dicom.test_scan_wheel_files import INSTANCES, name, scanned

SERIES_DESCRIPTION, SERIES_NUMBER, MODALITY = 0x0008103E, 0x00200011, 0x00080060


@pytest.mark.parametrize("path", INSTANCES, ids=name)
def test_what_was_not_changed_goes_out_as_the_bytes_that_it_was(path: Path) -> None:
    data, instance = scanned(path)
    header = header_bytes(data, instance)
    syntax = transfer_syntax(instance.transfer_syntax_uid)
    if syntax.implicit_vr or not syntax.little_endian:
        header = explicit_bytes(read_header(header, instance.transfer_syntax_uid))
    elements = outermost_elements(header)
    assert b"".join(elements.values()) == header
    changes = Dataset()
    changes.SeriesDescription, changes.SeriesNumber = "changed", 77
    changed = outermost_elements(explicit_bytes(changes))
    content = b"".join(changed_header(elements, changed, without=(MODALITY,)))
    read = read_header(content, EXPLICIT_VR_LITTLE_ENDIAN)
    assert (read.SeriesDescription, read.SeriesNumber, "Modality" in read) == ("changed", 77, False)
    expected = {tag for tag in elements if tag & 0xFFFF} | set(changed)
    found = outermost_elements(content)
    assert list(found) == sorted(expected - {MODALITY})
    assert all(found[tag] == changed.get(tag, elements.get(tag)) for tag in found)


def test_the_first_of_elements_that_are_there_twice_is_kept() -> None:
    one, two = Dataset(), Dataset()
    one.PatientID, two.PatientID, two.PatientName = "1", "2", "b"
    elements = outermost_elements(explicit_bytes(one) + explicit_bytes(two))
    read = read_header(b"".join(changed_header(elements, {})), EXPLICIT_VR_LITTLE_ENDIAN)
    assert (str(read.PatientName), read.PatientID) == ("b", "1")


def test_a_sequence_without_a_length_is_kept_to_its_end() -> None:
    item, data_set = Dataset(), Dataset()
    item.CodeValue = "1"
    data_set.ProcedureCodeSequence = [item, item]
    data_set["ProcedureCodeSequence"].is_undefined_length = True
    data_set.PatientID = "p"
    content = explicit_bytes(data_set)
    assert b"\xff\xff\xff\xff" in content
    assert b"".join(outermost_elements(content).values()) == content


def test_changes_are_written_in_the_character_set_of_the_header() -> None:
    changes = Dataset()
    changes.SeriesDescription = "Schädel"
    content = explicit_bytes(changes, "ISO_IR 192")
    assert "Schädel".encode() in content
    assert "SpecificCharacterSet" not in read_header(content, EXPLICIT_VR_LITTLE_ENDIAN)
