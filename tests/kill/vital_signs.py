"""How the services fare while they are killed: how soon each serves again (I8), and its peak memory (I7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.rpc.channel import open_channel
from imaging.settings import SERVICE_NAMES
from tests.kill.history import History, Recovery
from tests.kill.killing import Killer

_LOOK_EVERY_S = 0.2


@asynccontextmanager
async def watched(endpoints: Mapping[str, str], killer: Killer, history: History) -> AsyncIterator[None]:
    """Write recoveries and peak memory into the history while the block lasts."""
    tasks = [asyncio.create_task(_watch_one(endpoints[name], name, killer, history)) for name in SERVICE_NAMES]
    tasks.append(asyncio.create_task(killer.know_processes()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch_one(endpoint: str, service: str, killer: Killer, history: History) -> None:
    recovered = 0
    async with open_channel(endpoint) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            asked_at = history.now()
            if await _is_serving(stub):
                kills = [seconds for seconds, name in history.kills if name == service and seconds < asked_at]
                if len(kills) > recovered:
                    # A service that was killed again before it was back recovers from the last kill.
                    history.recoveries.append(Recovery(service, kills[-1], history.now() - kills[-1]))
                    recovered = len(kills)
                _note_memory(killer, service, history)
            await asyncio.sleep(_LOOK_EVERY_S)


async def _is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _note_memory(killer: Killer, service: str, history: History) -> None:
    process = killer.process(service)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            size = process.memory_info().rss
            history.peak_bytes[service] = max(size, history.peak_bytes.get(service, 0))
