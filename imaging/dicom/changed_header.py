"""A header of which some elements are others: all the rest goes out as the bytes that they were."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_dataset

from imaging.dicom.element_walk import walk_data_set
from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.dicom.scan_warning import WarningLog

Elements: TypeAlias = dict[int, memoryview]
"""The bytes of elements with their tags, VRs and lengths, by tag."""


def explicit_bytes(dataset: Dataset, character_set: str | list[str] = "") -> bytes:
    """The data set in Explicit VR Little Endian (PS3.5 A.2), whatever encoding it was read from, without file meta.

    Parameters
    ----------
    character_set
        Specific Character Set (0008,0005) of what the data set will be a part of; its own goes before.
    """
    plain = Dataset()
    for element in dataset:
        plain.add(element)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, correct_ambiguous_vr(plain, True), character_set)
    return bytes(buffer.getvalue())


def changed_header(header: Elements, changes: Elements, without: Collection[int] = ()) -> list[memoryview]:
    """The elements of the header, with those of `changes` in the place of its own of the same tag, by tag.

    Group lengths, which are retired (PS3.5 7.2), are left out.

    Parameters
    ----------
    header, changes
        Of Explicit VR Little Endian, as `outermost_elements` finds them.
    without
        Tags of the header that are left out besides.
    """
    kept = {tag: element for tag, element in header.items() if tag not in without and tag & 0xFFFF}
    elements = kept | changes
    return [elements[tag] for tag in sorted(elements)]


def outermost_elements(data: bytes) -> Elements:
    """The bytes of each outermost element with its tag, VR and length; the first one of those that are there twice.

    Parameters
    ----------
    data
        Elements in Explicit VR Little Endian.

    Raises
    ------
    InvalidDicom
        If they are not what a scan would take.
    """
    walked = walk_data_set(
        data, 0, len(data), implicit_vr=False, little_endian=True, limits=DEFAULT_LIMITS, log=WarningLog(0)
    )
    # A sequence may tell no length: it ends where the next element begins.
    starts = [element[1] for element in walked.elements.values()]
    starts += [element[1] for repeated in walked.duplicates.values() for element in repeated]
    starts.sort()
    ends = dict(zip(starts, [*starts[1:], len(data)], strict=True))
    view = memoryview(data)
    return {tag: view[offset : ends[offset]] for tag, (_, offset, _, _) in walked.elements.items()}
