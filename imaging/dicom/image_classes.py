"""Which SOP Classes are images, that is, cannot be whole without pixel data (PS3.3 A, PS3.4 B.5)."""

from __future__ import annotations

from functools import cache

from pydicom.uid import UID_dictionary

_IMAGES_BY_ANOTHER_NAME = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.81.1",  # Ophthalmic Thickness Map
        "1.2.840.10008.5.1.4.1.1.82.1",  # Corneal Topography Map
    )
)


@cache
def image_sop_classes() -> frozenset[str]:
    """UIDs of the storage SOP Classes whose IOD has Pixel Data as type 1 or 1C, RT Dose excepted (it may have none)."""
    images = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Image" in name and "Storage" in name and "State" not in name
    }
    return frozenset(images | _IMAGES_BY_ANOTHER_NAME)
