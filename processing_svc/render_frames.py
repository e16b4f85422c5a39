"""Frames of storage as pictures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.client.frame import Frame
from imaging.client.storage import Selection, StorageClient
from imaging.dicom.header import read_header
from imaging.errors import InvalidArgument
from imaging.processing.v1 import processing_service_pb2 as pb
from imaging.render.display import render_frame
from imaging.render.overlay_planes import draw_overlay_planes
from imaging.render.picture_file import DEFAULT_QUALITY, JPEG, PNG, encode_jpeg, encode_png
from imaging.render.pixel_aspect import pixel_aspect
from imaging.render.resize import MAX_SIDE, Viewport, fit
from imaging.render.voi_lut import Window, WindowFunction

WHOLE_BYTES: Final = 3_500_000
CHUNK_BYTES: Final = 1024 * 1024
"""A picture up to the first comes as one message; a larger one in chunks of the second."""

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

    def picture(self, frame: Frame, header: Dataset) -> tuple[NDArray[np.uint8], bytes]:
        """The pixels of a frame, shape (rows, columns) or (rows, columns, 3), and the file of them."""
        pixels = render_frame(frame.pixels, header, window=self.window, frame_number=frame.frame_number)
        pixels = draw_overlay_planes(pixels, header, frame.frame_number)
        aspect = pixel_aspect(header, frame.frame_number)
        if self.viewport is not None or aspect != 1.0:
            side = min(MAX_SIDE, max(pixels.shape[:2]))
            pixels = fit(pixels, self.viewport or Viewport(side, side), pixel_aspect=aspect)
        if self.media_type == JPEG:
            return pixels, encode_jpeg(pixels, quality=self.quality)
        return pixels, encode_png(pixels, at_once=True)


class _Headers:
    """The headers of the instances whose frames come: each is sent once, with the first of them."""

    def __init__(self, selections: Sequence[Selection]) -> None:
        asked = Counter(selection.instance for selection in selections)
        self._repeated = {instance for instance, times in asked.items() if times > 1}
        self._kept: dict[str, tuple[Dataset, str]] = {}

    def of(self, frame: Frame) -> tuple[Dataset, str]:
        """The header of the frame's instance, and the digest of its data set."""
        told = frame.instance_header
        if told is not None:
            self._kept = {instance: kept for instance, kept in self._kept.items() if instance in self._repeated}
            header = read_header(told.content, told.transfer_syntax_uid)
            self._kept[frame.instance] = header, told.instance.data_set_sha256
        return self._kept[frame.instance]


async def render_frames(
    storage: StorageClient, request: pb.RenderFramesRequest
) -> AsyncIterator[pb.RenderFramesResponse]:
    """The pictures of the frames in the order asked for; pixels are square and the aspect ratio is kept.

    Raises
    ------
    InvalidArgument
        Nothing is selected, an instance has no pixels, or the form cannot be.
    NotFound
        No such instance or frame.
    """
    form = PictureForm.of(request)
    if not request.selections:
        raise InvalidArgument("No frames are selected", where="selections", hint="Name at least one instance.")
    selections = [
        Selection(instance=selection.instance, frame_numbers=selection.frame_numbers)
        for selection in request.selections
    ]
    headers = _Headers(selections)

    def picture(frame: Frame) -> tuple[NDArray[np.uint8], bytes, str]:
        header, digest = headers.of(frame)
        return *form.picture(frame, header), digest

    async with aclosing(storage.read_frames(selections=selections, with_instance_headers=True)) as frames:
        async for frame in frames:
            pixels, content, digest = await asyncio.to_thread(picture, frame)
            for message in _messages(content):
                if message.size_bytes:
                    message.instance, message.frame_number = frame.instance, frame.frame_number
                    message.media_type, (message.height, message.width) = form.media_type, pixels.shape[:2]
                    message.data_set_sha256 = digest
                yield message


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


def _messages(content: bytes) -> Iterator[pb.RenderFramesResponse]:
    """The file in messages, the size in the first of them."""
    step = len(content) if len(content) <= WHOLE_BYTES else CHUNK_BYTES
    for start in range(0, len(content), step):
        yield pb.RenderFramesResponse(content=content[start : start + step], size_bytes=0 if start else len(content))
