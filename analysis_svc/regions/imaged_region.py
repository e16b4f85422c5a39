"""Does a region lie where there is an image?"""

from __future__ import annotations

import numpy as np

from analysis_svc.measurement import Refusal
from analysis_svc.regions.region import Region
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume


def not_imaged(region: Region, volume: Volume) -> Refusal | None:
    """The refusal of a region that holds padding (PS3.3 C.7.5.1.1.2) or what is no number; None for any other."""
    values = volume.voxels[region.box][region.mask]
    if np.isfinite(values).all() and is_padding(values, padding_value(volume)) is None:
        return None
    return Refusal(
        f"region at slice {region.widest_slice + 1}",
        "NOT_IMAGED",
        "The region holds pixels that are padding or no number: it reaches beyond the field of view",
        "Draw it inside the image.",
    )
