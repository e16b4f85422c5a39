"""Which segments of a segmentation are nothing but what is left: its background."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_item, first_number, text

_BACKGROUND: Final = ("125040", "DCM")


def is_background(header: Dataset, segment: Dataset) -> bool:
    """True for the segment of a label map that stands for no thing (PS3.3 A.51, C.8.20.2).

    Label maps list it as a segment of that type, or by the value that fills what lies in no segment.

    Parameters
    ----------
    header
        Of the segmentation.
    segment
        An item of SegmentSequence.
    """
    if text(header, "SegmentationType").upper() != "LABELMAP":
        return False
    kind = first_item(segment, "SegmentedPropertyTypeCodeSequence")
    filling = first_number(header, "PixelPaddingValue")
    is_filling = filling is not None and filling == first_number(segment, "SegmentNumber")
    return is_filling or (text(kind, "CodeValue"), text(kind, "CodingSchemeDesignator")) == _BACKGROUND
