"""Our side: `imaging serve storage` on a new folder, and the client that every user of the SDK gets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import uvloop

from benchmarks.side import ServerProcess
from benchmarks.work import Series
from imaging.client.frame_stream import read_encoded_frames
from imaging.client.patience import Patience
from imaging.client.storage import StorageClient, Upload
from imaging.rpc.channel import open_channel
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1 import storage_service_pb2_grpc as pb_grpc

T = TypeVar("T")


class Ours:
    """The storage service in a process of its own."""

    name = "ours"

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = environment or {}
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "imaging", "serve", "storage", "--json", "--address", "127.0.0.1:0"]
        command += ["--data", str(self._folder), "--set", "storage.quiet_time_seconds=3600"]
        environment = {**os.environ, "IMAGING_TELEMETRY_LOG_LEVEL": "WARNING", **self._environment}
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("The storage service did not start; its log stands above.")
        self._address = str(json.loads(line)["address"])
        self.process = ServerProcess(self._child.pid)

    @property
    def address(self) -> str:
        """`host:port` of its gRPC."""
        return self._address

    def store(self, files: Sequence[bytes | Path], clients: int) -> None:
        """One stream a client, each on a channel of its own."""

        async def one(share: Sequence[bytes | Path]) -> None:
            channel = open_channel(self._address)
            try:
                client = StorageClient(channel)
                uploads = [Upload(str(number), content) for number, content in enumerate(share)]
                async for result in client.store(uploads):
                    if result.error is not None:
                        raise result.error
            finally:
                await channel.close()

        self._run(lambda: _together([one(files[first::clients]) for first in range(clients)]))

    def frames(self, series: Series, clients: int) -> int:
        """One stream of frames a client."""

        async def one(uids: Sequence[str]) -> int:
            channel = open_channel(self._address)
            try:
                stub = pb_grpc.StorageServiceStub(channel)
                selections = [
                    pb.RetrieveFramesRequest.Selection(instance=f"{series.name}/instances/{uid}") for uid in uids
                ]
                request = pb.RetrieveFramesRequest(selections=selections)
                size = 0
                async for frame in read_encoded_frames(stub, request, Patience()):
                    size += len(frame.content)
                return size
            finally:
                await channel.close()

        uids = series.sop_instance_uids
        shares = [uids[first::clients] for first in range(clients)]
        return sum(self._run(lambda: _together([one(share) for share in shares if share])))

    def metadata(self, series: Series) -> int:
        """DICOM JSON, as users of the SDK read it; unpacked, as the peer gives it."""

        async def read() -> int:
            channel = open_channel(self._address)
            try:
                return len((await StorageClient(channel).retrieve_metadata(series.name)).json())
            finally:
                await channel.close()

        return self._run(read)

    def restart(self) -> None:
        """A new process on the same folder."""
        self.close()
        self._start()

    def close(self) -> None:
        """Drain and end."""
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(30)
        if self._child.stdout is not None:
            self._child.stdout.close()

    @staticmethod
    def _run(function: Callable[[], Awaitable[T]]) -> T:
        async def main() -> T:
            return await function()

        return uvloop.run(main())


async def _together(parts: Sequence[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*parts))
