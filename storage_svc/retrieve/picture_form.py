"""How the pictures of a request are made: window, viewport, media type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.errors import InvalidArgument
from imaging.render.display import render_frame
from imaging.render.overlay_planes import draw_overlay_planes
from imaging.render.picture_file import DEFAULT_QUALITY, JPEG, PNG, encode_jpeg, encode_png
from imaging.render.pixel_aspect import pixel_aspect
from imaging.render.resize import MAX_SIDE, Viewport, fit
from imaging.render.voi_lut import Window, WindowFunction
from imaging.storage.v1 import storage_service_pb2 as pb

_FUNCTIONS: Final = {
    pb.RenderFramesRequest.Window.FUNCTION_UNSPECIFIED: WindowFunction.LINEAR,
    pb.RenderFramesRequest.Window.FUNCTION_LINEAR: WindowFunction.LINEAR,
    pb.RenderFramesRequest.Window.FUNCTION_LINEAR_EXACT: WindowFunction.LINEAR_EXACT,
    pb.RenderFramesRequest.Window.FUNCTION_SIGMOID: WindowFunction.SIGMOID,
}


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How the pictures of a request are made."""

    window: Window | None
    """None: as each header says."""

    viewport: Viewport | None
    """None: as many pixels as the frame has."""

    media_type: str
    quality: int

    @classmethod
    def of(cls, request: pb.RenderFramesRequest) -> PictureForm:
        """What the request says.

        Raises
        ------
        InvalidArgument
            If its window, viewport, media type or quality cannot be.
        """
        window = None
        if request.HasField("window"):
            function = _FUNCTIONS.get(request.window.function)
            if function is None:
                raise InvalidArgument("An unknown function of the window", where="window", hint="Take a known one.")
            window = Window.checked(request.window.centre, request.window.width, function)
        media_type, quality = request.media_type or PNG, request.quality or DEFAULT_QUALITY
        if media_type not in (PNG, JPEG):
            raise InvalidArgument(
                "Pictures are not made in that media type", where="media_type", hint=f"{PNG} and {JPEG} are."
            )
        if not 1 <= quality <= 100:
            raise InvalidArgument(f"A quality of {quality}", where="quality", hint="It is 1 to 100.")
        return cls(window, _viewport(request), media_type, quality)

    def picture(self, stored: NDArray[Any], header: Dataset, frame_number: int) -> tuple[NDArray[np.uint8], bytes]:
        """The pixels of a picture, shape (rows, columns) or (rows, columns, 3), and the file of them.

        Parameters
        ----------
        stored
            The frame's values as `imaging.codecs.decode.decode_frame` gives them.
        header
            Of its instance.
        frame_number
            Counts from 1.
        """
        pixels = render_frame(stored, header, window=self.window, frame_number=frame_number)
        pixels = draw_overlay_planes(pixels, header, frame_number)
        aspect = pixel_aspect(header, frame_number)
        if self.viewport is not None or aspect != 1.0:
            side = min(MAX_SIDE, max(pixels.shape[:2]))
            pixels = fit(pixels, self.viewport or Viewport(side, side), pixel_aspect=aspect)
        if self.media_type == JPEG:
            return pixels, encode_jpeg(pixels, quality=self.quality)
        return pixels, encode_png(pixels, at_once=True)


def _viewport(request: pb.RenderFramesRequest) -> Viewport | None:
    side = request.max_side_pixels
    if not 0 <= side <= MAX_SIDE:
        raise InvalidArgument(f"max_side_pixels is {side}", where="max_side_pixels", hint=f"0 to {MAX_SIDE} are taken.")
    if request.HasField("viewport"):
        if side:
            raise InvalidArgument("A viewport and a longest side", where="max_side_pixels", hint="Give one of them.")
        asked = request.viewport
        return Viewport(asked.columns, asked.rows, asked.left, asked.top, asked.width, asked.height)
    return Viewport(side, side) if side else None
