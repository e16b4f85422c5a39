"""Where the attributes of one frame stand: in its functional group, the shared one, or the data set (C.7.6.16)."""

from __future__ import annotations

from pydicom import Dataset

from imaging.dicom.header_value import first_item, item_at


def functional_group(header: Dataset, frame_number: int, keyword: str) -> Dataset:
    """The item of that functional group macro for the frame, or the data set itself for classic images.

    Parameters
    ----------
    frame_number
        Counts from 1.
    keyword
        Of the macro's sequence, `PixelValueTransformationSequence` say.
    """
    own = item_at(header, "PerFrameFunctionalGroupsSequence", frame_number - 1)
    for group in (own, first_item(header, "SharedFunctionalGroupsSequence")):
        found = first_item(group, keyword)
        if found is not None:
            return found
    return header
