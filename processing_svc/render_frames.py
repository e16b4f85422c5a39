"""Frames of storage as pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pydicom

from imaging.client.storage import Frame, StorageClient
from imaging.errors import InvalidArgument
from imaging.processing.v1 import processing_service_pb2
from imaging.render.display import render_frame
from imaging.render.pixel_aspect import pixel_aspect
from imaging.render.png import MAX_SIDE, encode_png, resize
from imaging.storage.v1 import storage_service_pb2

Selection = storage_service_pb2.RetrieveFramesRequest.Selection


async def render_frames(
    storage: StorageClient, request: processing_service_pb2.RenderFramesRequest
) -> AsyncIterator[processing_service_pb2.RenderFramesResponse]:
    """One PNG a frame, in the order asked for; pixels are square and the aspect ratio is kept.

    Raises
    ------
    InvalidArgument
        A window without width, a side that is out of range, or nothing selected.
    """
    window = (request.window.centre, request.window.width) if request.HasField("window") else None
    if not request.selections:
        raise InvalidArgument("no frames are selected", where="selections", hint="Name at least one instance")
    if not 0 <= request.max_side_pixels <= MAX_SIDE:
        raise InvalidArgument(
            f"max_side_pixels is {request.max_side_pixels}", where="max_side_pixels", hint=f"0 to {MAX_SIDE} are taken"
        )
    for selection in request.selections:
        (header,) = await storage.read_headers(selection.instance)
        wanted = Selection(instance=selection.instance, frame_numbers=selection.frame_numbers)
        async for frame in storage.read_frames(selections=[wanted]):
            yield await asyncio.to_thread(_picture, frame, header.dataset, window, request.max_side_pixels)


def _picture(
    frame: Frame, header: pydicom.Dataset, window: tuple[float, float] | None, max_side: int
) -> processing_service_pb2.RenderFramesResponse:
    pixels = render_frame(frame.pixels, header, window=window, frame_number=frame.frame_number)
    aspect = pixel_aspect(header, frame.frame_number)
    if max_side or aspect != 1.0:
        pixels = resize(pixels, max_side or min(MAX_SIDE, max(pixels.shape[:2])), pixel_aspect=aspect)
    return processing_service_pb2.RenderFramesResponse(
        instance=frame.instance,
        frame_number=frame.frame_number,
        media_type="image/png",
        content=encode_png(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
    )
