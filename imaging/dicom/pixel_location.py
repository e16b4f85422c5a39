"""Where the pixel data of a data set is, and where its frames are."""

from __future__ import annotations

from imaging.dicom.element_walk import PIXEL_DATA_TAGS
from imaging.dicom.frame_index import FrameIndex
from imaging.dicom.frame_layout import ValueRange, encapsulated_frames, native_frames
from imaging.dicom.opened_data_set import OpenedDataSet
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.scanned_instance import PixelDataLocation
from imaging.dicom.tag_path import place, tag_text
from imaging.dicom.walked_data_set import WalkedDataSet
from imaging.errors import InvalidDicom

_EXTENDED_OFFSETS = 0x7FE00001
_EXTENDED_LENGTHS = 0x7FE00002


def locate_pixel_data(data_set: OpenedDataSet, log: WarningLog) -> PixelDataLocation | None:
    """Where the pixel data element is, None if there is none; of several the one that comes first.

    Raises
    ------
    InvalidDicom
        If the same pixel data element is there twice.
    """
    walked = data_set.walked
    present = sorted(
        (tag for tag in PIXEL_DATA_TAGS if tag in walked.elements), key=lambda tag: walked.elements[tag][1]
    )
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


def locate_frames(
    data_set: OpenedDataSet, location: PixelDataLocation, pixels: PixelDescription, log: WarningLog
) -> FrameIndex | None:
    """Where the frames are, None if the element does not tell."""
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
            whole_words=not syntax.little_endian and location.vr == "OW" and pixels.bits_allocated == 8,
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
    offsets = walked.elements.get(_EXTENDED_OFFSETS)
    if offsets is None or offsets[3] == 0:
        return None
    lengths = walked.elements.get(_EXTENDED_LENGTHS)
    return (offsets[2], offsets[3]), None if lengths is None else (lengths[2], lengths[3])
