"""How high a pixel is compared with its width (PS3.3 C.7.6.3.1.7, 10.7.1.3)."""

from __future__ import annotations

from pydicom import Dataset

from imaging.dicom.header_value import numbers
from imaging.render.functional_groups import functional_group

SENSIBLE_ASPECTS = (0.01, 100.0)
"""Beyond them, a picture would be a line."""

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")


def pixel_aspect(header: Dataset, frame_number: int = 1) -> float:
    """Height of a pixel over its width; 1.0 where the header does not tell, or not sensibly.

    Parameters
    ----------
    frame_number
        Counts from 1.
    """
    measures = functional_group(header, frame_number, "PixelMeasuresSequence")
    for item, keywords in ((measures, _SPACINGS[:1]), (header, _SPACINGS)):
        for keyword in keywords:
            values = numbers(item, keyword)
            # Each of them is row (vertical) first, then column.
            if values is not None and len(values) == 2 and values[0] > 0 and values[1] > 0:
                aspect = values[0] / values[1]
                if SENSIBLE_ASPECTS[0] <= aspect <= SENSIBLE_ASPECTS[1]:
                    return aspect
    return 1.0
