"""Contrast that is spread evenly over each neighbourhood."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

import numpy as np
from pydantic import Field, model_validator
from skimage.exposure import equalize_adapthist

from imaging.derived.derivation import Derivation
from imaging.errors import VolumeRefused
from imaging.volume.padding import is_padding, padding_value, with_nearest
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters

LEVELS: Final = 4095
"""The largest grey level that is given."""

_TAILS_PERCENT: Final = (0.5, 99.5)

_LEAST_TILE: Final = 8
"""Pixels: fewer tell no distribution, and each tile takes the room of its own 256 grey levels."""


class ClaheParameters(StepParameters):
    """Which values take part, and how strongly."""

    lowest: float | None = Field(
        default=None,
        description="Value that becomes black, in the unit of the voxels; not given: percentile 0.5 without padding.",
    )
    highest: float | None = Field(
        default=None, description="Value that becomes white; not given: percentile 99.5 without padding."
    )
    clip_limit: float = Field(
        default=0.01, gt=0, le=1.0, description="Share of a tile's pixels that one grey level may hold."
    )
    tile_mm: float = Field(
        default=40.0, ge=1.0, le=1000.0, description="Edge of a tile in millimetres; at least 8 pixels are taken."
    )

    @model_validator(mode="after")
    def _in_order(self) -> ClaheParameters:
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError("lowest must be less than highest")
        return self


class Clahe(Step[ClaheParameters]):
    """Contrast limited adaptive histogram equalization in each slice (Zuiderveld 1994, Graphics Gems IV, VIII.5).

    For looking at: a grey level no longer stands for a value.
    """

    name: ClassVar[str] = "clahe"
    version: ClassVar[str] = "1.2"
    description: ClassVar[str] = "Equalize the contrast of each neighbourhood, with a limit (CLAHE)."
    within_slices: ClassVar[bool] = True
    Parameters = ClaheParameters

    def apply(self, volume: Volume, parameters: ClaheParameters, progress: Progress) -> Volume:
        """Grey levels 0 to 4095 as int16, same grid, no unit any more; black where all values are alike.

        The darkest and the brightest pixel of a slice keep their places between `lowest` and `highest`, and what lies
        between them is equalized. Padding is black, and takes no part: the nearest pixel stands for it.

        Raises
        ------
        VolumeRefused
            If the one of `lowest` and `highest` that is given lies beyond the percentile of the other.
        """
        low, high = _range(volume, parameters)
        count = volume.voxels.shape[0]
        tile = [
            min(size, max(_LEAST_TILE, round(parameters.tile_mm / spacing)))
            for size, spacing in zip(volume.voxels.shape[1:], volume.spacing_mm[1:], strict=True)
        ]
        result = np.zeros(volume.voxels.shape, dtype=np.int16)
        for index, stored in enumerate(volume.voxels):
            padded = is_padding(stored, padding_value(volume))
            if padded is not None:
                if padded.all():
                    progress(index + 1, count)
                    continue
                stored = with_nearest(stored, padded)
            plane = (stored.astype(np.float64).clip(low, high) - low) / max(high - low, 1e-12)
            darkest, brightest = plane.min(), plane.max()
            if darkest < brightest:
                # It stretches what it gets and what it gives from 0 to 1, however little of the range the slice takes.
                equal = equalize_adapthist(plane, kernel_size=tile, clip_limit=parameters.clip_limit)
                plane = darkest + equal * (brightest - darkest)
            result[index] = np.rint(plane * LEVELS)
            if padded is not None:
                result[index][padded] = 0
            progress(index + 1, count)
        attributes = {name: value for name, value in volume.attributes.items() if name != "PixelPaddingValue"}
        return replace(volume, voxels=result, units="1", attributes=attributes)

    def derivation(self, parameters: ClaheParameters) -> Derivation:
        """CID 7203 has no code for an equalization, so that none is given."""
        return Derivation(
            description=f"Contrast equalized in tiles of {parameters.tile_mm:g} mm (CLAHE)",
            codes=(),
            series_suffix="CLAHE",
            image_type="EQUALIZED",
            keeps_values=False,
        )


def _range(volume: Volume, parameters: ClaheParameters) -> tuple[float, float]:
    voxels = volume.voxels[:, ::2, ::2]
    padded = is_padding(voxels, padding_value(volume))
    image = voxels if padded is None else voxels[~padded]
    tails = np.percentile(image if image.size else voxels, _TAILS_PERCENT)
    low = float(tails[0]) if parameters.lowest is None else parameters.lowest
    high = float(tails[1]) if parameters.highest is None else parameters.highest
    if low >= high and (parameters.lowest is not None or parameters.highest is not None):
        raise VolumeRefused(
            f"There is nothing between the lowest value {low:g} and the highest value {high:g}",
            hint="Give both: the one that is not given is a percentile of the values.",
            metadata={"rule": "EMPTY_RANGE"},
        )
    return low, high
