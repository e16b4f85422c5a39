"""What a scan found out about one instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imaging.dicom.attribute_value import AttributeValue
from imaging.dicom.frame_index import FrameIndex
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.scan_warning import ScanWarning


@dataclass(frozen=True, slots=True)
class PixelDataLocation:
    """Where the pixel data element is; offsets as in `ScannedInstance`.

    For encapsulated pixel data the value is everything from the Basic Offset Table item to the sequence delimitation
    item, which is not counted.
    """

    tag: int
    vr: str
    """As written; empty in implicit VR. OW in big endian means swapped bytes (PS3.5 A.3)."""
    element_offset: int
    value_offset: int
    value_length: int
    encapsulated: bool


@dataclass(frozen=True, slots=True)
class ScannedInstance:
    """One instance whose structure is sound. Nothing of the pixels is in here, only where they are.

    Offsets count bytes from the start of the file; if `inflated` is true, `header_end`, `pixel_data` and `frames` count
    from the start of the inflated data set instead (`data_set_offset` is always one in the file).
    """

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    size_bytes: int
    data_set_offset: int
    """First byte after the file meta information; 0 if there is none."""
    header_end: int
    """Offset of the pixel data element, or the end of the data set if it has none."""
    inflated: bool
    pixel_data: PixelDataLocation | None
    frames: FrameIndex | None
    """None without pixel data, or if its attributes or fragments do not tell where frames are."""
    pixels: PixelDescription | None
    attributes: Mapping[str, AttributeValue]
    """Indexed attributes by keyword: absent ones are missing, empty and unusable ones are None."""
    warnings: tuple[ScanWarning, ...]
