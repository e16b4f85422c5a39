"""Two replicas of every service as processes of their own, on one PostgreSQL database and one bucket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.rpc.channel import open_channel
from imaging.settings import SERVICE_NAMES

REPLICAS = 2
READY_SECONDS = 90
STOP_SECONDS = 60
"""That a service may take to end beside what it may drain."""

_STARTER = ThreadPoolExecutor(1, thread_name_prefix="start-replica")
"""A service dies with the thread that starts it, so one that lives as long as the test starts them all."""


@dataclass(slots=True)
class Replica:
    """`imaging serve SERVICE` with addresses of its own, which it keeps when it is started again."""

    service: str
    number: int
    address: str
    environment: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    is_left_out: bool = False
    """It is about to be stopped: whatever stands before the replicas sends no new connection there."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.service}-{self.number}"

    @property
    def log_file(self) -> Path:
        """What it said, over all its lives."""
        return self.folder / f"{self.name}.log"

    async def start(self) -> None:
        """Start it, and wait until health says SERVING."""
        await asyncio.get_running_loop().run_in_executor(_STARTER, self._start)
        async with open_channel(self.address) as channel, asyncio.timeout(READY_SECONDS):
            stub = health_pb2_grpc.HealthStub(channel)
            while not await _is_serving(stub):
                assert self.process is not None
                assert self.process.poll() is None, f"{self.name} did not start: {self.log_file.read_text()[-2000:]}"
                await asyncio.sleep(0.1)
        self.is_left_out = False

    def _start(self) -> None:
        command = [sys.executable, "-m", "imaging", "serve", self.service, "--address", self.address]
        command += ["--data", str(self.folder / self.name), "--parent-pid", str(os.getpid())]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGING_")}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**kept, **self.environment}, start_new_session=True
            )

    async def stop(self) -> int:
        """SIGTERM; its exit code when it has drained."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        drain = int(self.environment["IMAGING_DRAIN_SECONDS"])
        return await asyncio.to_thread(self.process.wait, drain + STOP_SECONDS)

    def kill(self) -> None:
        """End it by force."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@dataclass(slots=True)
class Replicated:
    """Every service, `REPLICAS` times."""

    replicas: dict[str, list[Replica]]
    doors: dict[str, list[str]] = field(default_factory=dict)
    """`http` and `dimse` of the gateways, in the order of their replicas."""

    @property
    def endpoints(self) -> dict[str, str]:
        """The addresses of all replicas by service, as the settings name them."""
        return {name: ",".join(each.address for each in found) for name, found in self.replicas.items()}

    def open_doors(self, door: str) -> list[str]:
        """Addresses of a door of those gateways that are not about to be stopped."""
        gateways = zip(self.replicas["gateway"], self.doors[door], strict=True)
        return [address for gateway, address in gateways if not gateway.is_left_out]


@asynccontextmanager
async def replicated(
    folder: Path, environment: Mapping[str, str], drain: Mapping[str, int]
) -> AsyncIterator[Replicated]:
    """All replicas, started; ended with the block, by force if it must be.

    Parameters
    ----------
    drain
        Seconds that each service may drain.
    """
    ports = iter(_free_ports(REPLICAS * (len(SERVICE_NAMES) + 2)))
    addresses = {name: [f"127.0.0.1:{next(ports)}" for _ in range(REPLICAS)] for name in SERVICE_NAMES}
    doors = {door: [f"127.0.0.1:{next(ports)}" for _ in range(REPLICAS)] for door in ("http", "dimse")}
    shared = dict(environment)
    shared |= {f"IMAGING_{name.upper()}_ADDRESS": ",".join(found) for name, found in addresses.items()}
    replicas: dict[str, list[Replica]] = {name: [] for name in SERVICE_NAMES}
    for name in SERVICE_NAMES:
        for number in range(REPLICAS):
            own = {"IMAGING_DRAIN_SECONDS": str(drain[name])}
            own |= {f"IMAGING_GATEWAY_{door.upper()}_ADDRESS": found[number] for door, found in doors.items()}
            replicas[name].append(Replica(name, number, addresses[name][number], shared | own, folder))
    everyone = [replica for found in replicas.values() for replica in found]
    try:
        for number in range(REPLICAS):
            # The second ones find the tables made.
            await asyncio.gather(*(found[number].start() for found in replicas.values()))
        yield Replicated(replicas, doors)
        await asyncio.gather(*(replica.stop() for replica in everyone))
    finally:
        for replica in everyone:
            replica.kill()


async def _is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
