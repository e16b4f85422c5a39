"""What an instance of a SOP Class cannot be without: its pixels, its waveforms, its document (PS3.3 A, PS3.4 B.5).

A file that was cut off between two elements has a sound structure; only what is missing tells that its end is gone.
"""

from __future__ import annotations

from collections.abc import Collection

from imaging.dicom.standard_tables import IMAGE_STORAGE_UIDS

_IMAGES_BY_ANOTHER_NAME = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.81.1",  # Ophthalmic Thickness Map
        "1.2.840.10008.5.1.4.1.1.82.1",  # Corneal Topography Map
    )
)

_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"

_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009, 0x00287FE0)
"""Pixel data in its three forms, or the URL that names it."""
_DOSE = (*_PIXELS, 0x30040050, 0x30060039)
"""A dose is told by pixels, by DVHs or by contours."""
_DESCRIBES_PIXELS = (0x00280010, 0x00280011, 0x00280100)
"""Rows, Columns, Bits Allocated."""
_CONTENT_BY_FAMILY: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("1.2.840.10008.5.1.4.1.1.9.", (0x54000100,), "waveforms"),
    ("1.2.840.10008.5.1.4.1.1.104.", (0x00420011,), "encapsulated document"),
    ("1.2.840.10008.5.1.4.1.1.88.", (0x0040A730,), "content tree"),
)


IMAGE_SOP_CLASSES = IMAGE_STORAGE_UIDS | _IMAGES_BY_ANOTHER_NAME
"""UIDs of the storage SOP Classes whose instances are images."""


def missing_content(sop_class_uid: str, elements: Collection[int]) -> str | None:
    """The name of what this instance cannot be without and does not have; None if nothing is known to be missing.

    Parameters
    ----------
    elements
        The tags of the data set's outermost level.
    """
    needed, name = _essential(sop_class_uid, elements)
    return name if needed and not any(tag in elements for tag in needed) else None


def _essential(sop_class_uid: str, elements: Collection[int]) -> tuple[tuple[int, ...], str]:
    """Tags of which one must be there, and what they are called."""
    if sop_class_uid == _RT_DOSE:
        return _DOSE, "pixel data, DVHs or contours"
    if sop_class_uid in IMAGE_SOP_CLASSES or any(tag in elements for tag in _DESCRIBES_PIXELS):
        return _PIXELS, "pixel data"
    for family, needed, name in _CONTENT_BY_FAMILY:
        if sop_class_uid.startswith(family):
            return needed, name
    return (), ""
