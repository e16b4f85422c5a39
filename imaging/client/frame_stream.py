"""Frames of a series or of chosen instances, in the order asked for, decoded side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from imaging.client.frame import EncodedFrame, Frame, FrameAssembly, decode
from imaging.client.patience import Attempts, Patience
from imaging.errors import ImagingError, Unavailable
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub
    from imaging.codecs.sandbox import DecodePool

_AHEAD_FRAMES = 8
_AHEAD_BYTES = 64 << 20
"""Frames that are read and decoded before the caller asks for them: enough to keep every core busy, no more."""


async def read_frames(
    stub: StorageStub, request: storage_service_pb2.RetrieveFramesRequest, pool: DecodePool, patience: Patience
) -> AsyncGenerator[Frame]:
    """The decoded frames of a request, in the order of the answer.

    Raises
    ------
    PixelDataInvalid
        At the frame that cannot be decoded.
    """
    frames = decoded_frames(read_encoded_frames(stub, request, patience), pool)
    try:
        async for frame in frames:
            yield frame
    finally:
        await frames.aclose()


async def decoded_frames(encoded: AsyncGenerator[EncodedFrame], pool: DecodePool) -> AsyncGenerator[Frame]:
    """The frames, decoded side by side, in the same order."""
    ahead: deque[tuple[asyncio.Task[Frame], int]] = deque()
    held = 0
    try:
        async for item in encoded:
            ahead.append((asyncio.create_task(decode(item, pool)), len(item.content)))
            held += len(item.content)
            while len(ahead) > _AHEAD_FRAMES or held > _AHEAD_BYTES:
                task, size = ahead[0]
                frame = await task
                ahead.popleft()
                held -= size
                yield frame
        while ahead:
            frame = await ahead[0][0]
            ahead.popleft()
            yield frame
    finally:
        for task, _ in ahead:
            task.cancel()
        await asyncio.gather(*(task for task, _ in ahead), return_exceptions=True)
        await encoded.aclose()


async def read_encoded_frames(
    stub: StorageStub, request: storage_service_pb2.RetrieveFramesRequest, patience: Patience
) -> AsyncGenerator[EncodedFrame]:
    """The frames of a request as they are sent; after a broken stream those that came already are skipped."""
    attempts = Attempts(patience)
    given: set[tuple[str, int]] = set()
    while True:
        assembly = FrameAssembly()
        call = stub.RetrieveFrames(request)
        try:
            with domain_errors():
                async for message in call:
                    attempts.succeed()
                    frame = assembly.add(message)
                    if frame is None:
                        continue
                    key = (frame.header.instance, frame.header.frame_number)
                    if key not in given:
                        given.add(key)
                        yield frame
            if assembly.is_open:
                raise Unavailable("Storage ended the stream in the middle of a frame")
            return
        except ImagingError as error:
            await attempts.fail(error)
        finally:
            call.cancel()
