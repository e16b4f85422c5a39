"""Several replicas of one service behind one channel, and one by one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings, ListenSettings
from imaging.rpc.replicas import Replicas
from imaging.rpc.server import RpcServer
from tests.house_certificates import HouseCertificates

SERVICE = "imaging.pipeline.v1.PipelineService"


class Named(pipeline_service_pb2_grpc.PipelineServiceServicer):
    """Answers with its own name; slowly, when it is asked so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self._answers = asyncio.Semaphore(0)

    async def answer(self, count: int) -> None:
        """Come back when so many more calls were answered."""
        while not self._answers.locked():
            await self._answers.acquire()
        for _ in range(count):
            await self._answers.acquire()

    async def GetRun(self, request: Any, context: Any) -> Any:
        if request.name == "slow":
            self.begun.set()
            await self.go_on.wait()
        self._answers.release()
        return pipeline_service_pb2.GetRunResponse(run=pipeline_pb2.Run(name=self.name))


class Replica:
    """A server that may be stopped, and started again at its port."""

    def __init__(self, name: str, listen: ListenSettings) -> None:
        self.servicer = Named(name)
        self._listen = listen
        self.address = listen.address

    async def start(self) -> None:
        add = pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server
        self._server = RpcServer(
            ListenSettings(self.address, self._listen.certificate_file, self._listen.key_file),
            {SERVICE: lambda server: add(self.servicer, server)},
        )
        self.address = f"127.0.0.1:{await self._server.start()}"

    async def stop(self, seconds: float = 5) -> None:
        await self._server.stop(timedelta(seconds=seconds))


@asynccontextmanager
async def two_replicas(listen: ListenSettings | None = None) -> AsyncIterator[list[Replica]]:
    replicas = [Replica(name, listen or ListenSettings()) for name in "ab"]
    for replica in replicas:
        await replica.start()
    try:
        yield replicas
    finally:
        for replica in replicas:
            await replica.stop(0)


def address_of(replicas: list[Replica]) -> str:
    return ",".join(replica.address for replica in replicas)


async def ask(channel: Any, name: str = "") -> str:
    stub: Any = pipeline_service_pb2_grpc.PipelineServiceStub(channel)
    answer = await stub.GetRun(pipeline_service_pb2.GetRunRequest(name=name))
    return str(answer.run.name)


async def wait_for_both(channel: Any) -> None:
    seen: set[str] = set()
    async with asyncio.timeout(20):
        while seen != {"a", "b"}:
            seen.add(await ask(channel))


async def test_calls_go_to_all_replicas_in_turn() -> None:
    async with two_replicas() as replicas, open_channel(address_of(replicas)) as channel:
        await wait_for_both(channel)
        answers = Counter([await ask(channel) for _ in range(40)])
        assert answers == {"a": 20, "b": 20}


async def test_no_call_fails_while_each_replica_is_restarted_in_turn() -> None:
    async with two_replicas() as replicas, open_channel(address_of(replicas)) as channel:
        await wait_for_both(channel)
        is_over = asyncio.Event()
        answered: Counter[str] = Counter()

        async def call_on_and_on() -> None:
            while not is_over.is_set():
                answered[await ask(channel)] += 1

        calling = [asyncio.create_task(call_on_and_on()) for _ in range(8)]
        for _ in range(10):
            for replica, other in zip(replicas, reversed(replicas), strict=True):
                await replica.stop()
                await other.servicer.answer(50)
                await replica.start()
                await replica.servicer.answer(50)
        is_over.set()
        await asyncio.gather(*calling)


async def test_a_call_that_a_replica_has_begun_ends_there_while_it_drains() -> None:
    async with two_replicas() as replicas, open_channel(address_of(replicas)) as channel:
        await wait_for_both(channel)
        slow = [asyncio.create_task(ask(channel, "slow")) for _ in replicas]
        for replica in replicas:
            await replica.servicer.begun.wait()
        stopping = asyncio.create_task(replicas[0].stop())
        assert {await ask(channel) for _ in range(20)} == {"b"}
        for replica in replicas:
            replica.servicer.go_on.set()
        assert sorted(await asyncio.gather(*slow)) == ["a", "b"]
        await stopping


async def test_replicas_are_chosen_in_turn_and_one_is_avoided_where_there_is_another() -> None:
    replicas = Replicas("127.0.0.1:1,127.0.0.2:1")
    assert {await replicas.choose() for _ in range(4)} == {"127.0.0.1:1", "127.0.0.2:1"}
    assert {await replicas.choose(other_than="127.0.0.1:1") for _ in range(4)} == {"127.0.0.2:1"}
    alone = Replicas("127.0.0.1:1")
    assert await alone.choose(other_than="127.0.0.1:1") == "127.0.0.1:1"


async def test_a_name_stands_for_all_addresses_that_it_has_now(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[Any] = [(2, 1, 6, "", ("10.0.0.7", 50052)), (10, 1, 6, "", ("fd00::7", 50052, 0, 0))]

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        assert (host, port) == ("processing", 50052)
        if not known:
            raise OSError("no such name")
        return known

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    replicas = Replicas("processing:50052")
    assert {await replicas.choose() for _ in range(4)} == {"10.0.0.7:50052", "[fd00::7]:50052"}
    known.clear()
    assert await replicas.choose() == "processing:50052"


async def test_each_replica_can_be_called_for_itself() -> None:
    async with two_replicas() as servers:
        replicas = Replicas(address_of(servers))
        for server in servers * 2:
            async with replicas.open(server.address) as channel:
                assert await ask(channel) == server.servicer.name


Open = Callable[[list[Replica], ChannelSettings], Any]


@pytest.mark.parametrize(
    "opened",
    [
        lambda servers, how: open_channel(address_of(servers), how),
        lambda servers, how: Replicas(address_of(servers), how).open(servers[0].address),
        lambda servers, how: Replicas("127.0.0.9:1", ChannelSettings(how.ca_file)).open(servers[0].address),
    ],
    ids=["all", "one", "one of a name"],
)
async def test_several_addresses_prove_themselves_by_one_name(opened: Open, tmp_path: Path) -> None:
    certificate = HouseCertificates(tmp_path).server("127.0.0.9")
    listen = ListenSettings("127.0.0.1:0", certificate.chain, certificate.key)
    how = ChannelSettings(certificate.authority, server_name="127.0.0.9")
    async with two_replicas(listen) as servers, opened(servers, how) as channel:
        assert await ask(channel) in {"a", "b"}
