"""`frames_of_limit`: our frames a second by those of a handler that does nothing. Target: 0.7 of them.

The handler sends one ready-made message of the size of a CT slice, again and again; client, channel and streams are the
same. The column of the peer holds that limit.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncGenerator
from multiprocessing.connection import Connection
from typing import Any

import google_crc32c
import grpc
import uvloop

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.figures.frames import CLIENTS
from benchmarks.side import Stopwatch
from imaging.rpc.channel import MAX_MESSAGE_BYTES, open_channel
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1 import storage_service_pb2_grpc as pb_grpc

_FRAME_BYTES = 512 * 512 * 2


def measure(bench: Bench) -> Figure:
    """The runs of `frames` beside those of the empty handler."""
    runs = [run for run in bench.kept["frames"] if run.side == "ours"]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, bench.slices // CLIENTS), daemon=True)
    process.start()
    try:
        port = int(ours.recv())
        uvloop.run(_read(port))
        for _ in range(bench.repeats):
            with Stopwatch() as watch:
                count = uvloop.run(_read(port))
            runs.append(Run("limit", count / watch.seconds, CLIENTS))
    finally:
        process.kill()
        process.join()
    return figure("frames_of_limit", "frames/s", runs, target=0.7)


async def _read(port: int) -> int:
    async def one() -> int:
        channel = open_channel(f"127.0.0.1:{port}")
        try:
            count = 0
            async for message in pb_grpc.StorageServiceStub(channel).RetrieveFrames(pb.RetrieveFramesRequest()):
                count += len(message.data.content) == _FRAME_BYTES
            return count
        finally:
            await channel.close()

    return sum(await asyncio.gather(*[one() for _ in range(CLIENTS)]))


class _Empty(pb_grpc.StorageServiceServicer):
    def __init__(self, count: int) -> None:
        content = bytes(_FRAME_BYTES)
        self._response = pb.RetrieveFramesResponse(
            data=pb.RetrieveFramesResponse.Data(content=content, crc32c=google_crc32c.value(content))
        )
        self._count = count

    async def RetrieveFrames(  # noqa: N802 - the name in the contract
        self, request: pb.RetrieveFramesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncGenerator[pb.RetrieveFramesResponse]:
        for _ in range(self._count):
            yield self._response


def _serve(parent: Connection, count: int) -> None:
    async def main() -> None:
        limits = [("grpc.max_send_message_length", MAX_MESSAGE_BYTES)]
        server = grpc.aio.server(options=limits)
        empty = _Empty(count)  # type: ignore[abstract]  # the other methods are never called
        pb_grpc.add_StorageServiceServicer_to_server(empty, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        parent.send(port)
        await server.wait_for_termination()

    uvloop.run(main())
