"""Values in a window, spread over all grey levels."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from imaging.derived.derivation import Derivation
from imaging.render.voi_lut import DISPLAY_MAXIMUM
from imaging.render.voi_lut import Window as DisplayWindow
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters


class WindowParameters(StepParameters):
    """Which values become black and which white."""

    centre: float = Field(default=40.0, description="Centre of the window in the unit of the voxels (HU for CT).")
    width: float = Field(default=400.0, ge=1.0, description="Width of the window in the same unit.")
    bits: Literal[8, 16] = Field(default=8, description="8: grey levels 0 to 255; 16: 0 to 65535.")


class Window(Step[WindowParameters]):
    """The linear VOI function (PS3.3 C.11.2.1.2.1), applied for good: for viewers and models that know no window."""

    name: ClassVar[str] = "window"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Map the values of a window linearly to 8 or 16 bit grey levels."
    within_slices: ClassVar[bool] = True
    Parameters = WindowParameters

    def apply(self, volume: Volume, parameters: WindowParameters, progress: Progress) -> Volume:
        """Grey levels as whole numbers, padding black: int16 for 8 bits, float32 for 16; same grid, no unit."""
        count = volume.voxels.shape[0]
        result: NDArray[np.int16] | NDArray[np.float32]
        if parameters.bits == 8:
            result = np.empty(volume.voxels.shape, dtype=np.int16)
        else:
            result = np.empty(volume.voxels.shape, dtype=np.float32)
        display = DisplayWindow.checked(parameters.centre, parameters.width)
        scale = float(2**parameters.bits - 1) / DISPLAY_MAXIMUM
        padding = padding_value(volume)
        for index, plane in enumerate(volume.voxels):
            result[index] = np.rint(display.apply(plane) * scale)
            padded = is_padding(plane, padding)
            if padded is not None:
                result[index][padded] = 0
            progress(index + 1, count)
        attributes = {name: value for name, value in volume.attributes.items() if name != "PixelPaddingValue"}
        return replace(volume, voxels=result, units="1", attributes=attributes)

    def derivation(self, parameters: WindowParameters) -> Derivation:
        """CID 7203 has no code for a window, so that none is given."""
        return Derivation(
            description=(
                f"Values from centre {parameters.centre:g}, width {parameters.width:g} "
                f"mapped linearly to {parameters.bits} bit grey levels"
            ),
            codes=(),
            series_suffix=f"window {parameters.centre:g}/{parameters.width:g}",
            image_type="WINDOWED",
            keeps_values=False,
        )
