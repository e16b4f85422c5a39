"""Pictures of frames: made by storage, where the frames are, and passed on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from imaging.client.storage import StorageClient
from imaging.processing.v1 import processing_service_pb2 as pb
from imaging.storage.v1 import storage_service_pb2


async def render_frames(
    storage: StorageClient, request: pb.RenderFramesRequest
) -> AsyncGenerator[pb.RenderFramesResponse]:
    """The messages of the pictures, as storage gives them: fields and numbers are the same in both contracts."""
    asked = storage_service_pb2.RenderFramesRequest.FromString(request.SerializeToString())
    async with aclosing(storage.render_frames(asked)) as pictures:
        async for picture in pictures:
            yield pb.RenderFramesResponse.FromString(picture.SerializeToString())
