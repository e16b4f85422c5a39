"""Images that are no slices, whatever geometry their headers tell."""

from __future__ import annotations

from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_number, items, text
from imaging.volume.header_values import refused


def refuse_other_kinds(dataset: Dataset, where: str) -> None:
    """Pass an image that can be a slice of a volume.

    Raises
    ------
    VolumeRefused
        Rule `colour`, `mosaic`, `localizer` or `modality_lut`.
    """
    if (first_number(dataset, "SamplesPerPixel") or 1) > 1:
        raise refused("colour", "The image is in colour", where=where, hint="A volume needs one value for each voxel.")
    if "MOSAIC" in text(dataset, "ImageType").split("\\") and "PerFrameFunctionalGroupsSequence" not in dataset:
        raise refused(
            "mosaic",
            "The image is a mosaic of many slices, whose places only private attributes tell",
            where=where,
            hint="Export the series as enhanced multi-frame or as single slices.",
        )
    if text(dataset, "Modality") == "CT" and "LOCALIZER" in text(dataset, "ImageType").split("\\"):
        raise refused(
            "localizer",
            "The image is a localizer: a projection, as an X-ray image is, and no slice",
            where=f"{where}, (0008,0008)",
            hint="Take the series with the slices.",
        )
    if items(dataset, "ModalityLUTSequence"):
        raise refused(
            "modality_lut",
            "The values go through a table, not through slope and intercept",
            where=where,
            hint="Such images (mostly projection X-ray) are no volumes.",
        )
