"""Failed sends are tried again: destinations side by side, nothing sent twice, and no outcome lost to a stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import evt

from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.schema import TABLES
from gateway_svc.sending import resender as resender_module
from gateway_svc.sending import written_down as written_down_module
from gateway_svc.sending.failed_sends import FailedSends, failed_send_name
from gateway_svc.sending.resender import Resender
from gateway_svc.sending.sender import Sender
from gateway_svc.sending.written_down import written_down
from imaging.client.patience import Patience
from imaging.database import Database
from imaging.database.access import DatabaseAccess
from imaging.errors import ImagingError, Unavailable
from imaging.gateway.v1 import gateway_service_pb2 as pb
from imaging.rpc.channel import open_channel
from imaging.settings import Settings
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub
from imaging.work.try_again import TryAgain
from tests.gateway.dimse.archive import free_port
from tests.gateway.dimse.conftest import Start
from tests.gateway.dimse.storage_scp import CT, Received, storage_scp
from tests.gateway.dimse.test_c_find import keep
from tests.gateway.dimse.test_failed_sends import Clock
from tests.storage.storage_under_test import ct

PACS, SLOW = "destinations/pacs", "destinations/slow"
AWAY = Unavailable("The AE does not answer")
UIDS = [f"1.2.3.1.{number}" for number in range(1, 6)]
NAMES = [f"studies/1.2.3/series/1.2.3.1/instances/{uid}" for uid in UIDS]


class Pacs(Received):
    """Aborts at some instances, and lets one wait until it is told."""

    def __init__(self, *, aborts_at: Collection[str] = (), waits_at: str = "", answer: int = 0) -> None:
        super().__init__(answer=answer)
        self.aborts_at, self.waits_at = aborts_at, waits_at
        self.go_on = threading.Event()
        self.asked: list[str] = []
        self.sockets: set[socket.socket] = set()

    def take(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.asked.append(uid)
        self.sockets.add(event.assoc.dul.socket.socket)
        if uid in self.aborts_at:
            event.assoc.abort()
            return 0
        if uid == self.waits_at:
            self.go_on.wait(30)
        return super().take(event)


@contextmanager
def listening(port: int, pacs: Pacs) -> Iterator[None]:
    """The PACS at a port; pynetdicom leaves the socket of an association open whose other end was closed first."""
    with storage_scp(port, pacs, CT):
        yield
    for one in pacs.sockets:
        one.close()


class World:
    """Storage with five instances, a list of failed sends, and destinations at two ports."""

    def __init__(self, settings: Settings, storage: Any, failed: FailedSends, clock: Clock, ports: list[int]) -> None:
        self.settings, self.storage, self.failed, self.clock, self.ports = settings, storage, failed, clock, ports

    def resender(self) -> Resender:
        return Resender(self.settings, self.storage, self.failed)

    async def listed(self, destination: str = "") -> set[str]:
        """UIDs of what is in the list."""
        found, _ = await self.failed.page(destination, 100, "")
        return {one.instance.rpartition("/")[2] for one in found}


@asynccontextmanager
async def world(start: Start, tmp_path: Path) -> AsyncIterator[World]:
    ports = [free_port(), free_port()]
    destinations = {
        name: {"ae_title": "PACS", "address": f"127.0.0.1:{port}"}
        for name, port in zip(("pacs", "slow"), ports, strict=True)
    }
    clock = Clock()
    database = Database.open(DatabaseAccess(f"sqlite:///{tmp_path}/own.db"), TABLES)
    async with start(gateway__destinations=destinations, gateway__send_again_seconds=0.05) as archive:
        await keep(archive, *(ct(sop=uid) for uid in UIDS))
        async with open_channel(archive.settings.storage.address) as channel:
            failed = FailedSends(database, TryAgain(first_wait=timedelta(minutes=1)), clock)
            yield World(archive.settings, StorageServiceStub(channel), failed, clock, ports)
    await database.close()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(600):
        if await is_so():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it has not come so")


@asynccontextmanager
async def running(*resenders: Resender) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(one.run()) for one in resenders]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_instances_that_break_the_association_keep_no_other_from_being_sent(start: Start, tmp_path: Path) -> None:
    pacs = Pacs(aborts_at=(UIDS[0], UIDS[1], UIDS[4]))
    async with world(start, tmp_path) as there:
        await there.failed.record(PACS, (), dict.fromkeys(NAMES, AWAY))
        there.clock.now += timedelta(minutes=1)

        async def are_tried() -> bool:
            found, _ = await there.failed.page(PACS, 100, "")
            return all(one.attempts > 1 for one in found)

        with listening(there.ports[0], pacs):
            async with running(there.resender()):
                await until(are_tried)
        assert await there.listed() == set(pacs.aborts_at)
        told = await there.failed.get(failed_send_name(PACS, NAMES[0]))
        assert told is not None
        assert "association was lost" in told.error.message
    assert pacs.asked == UIDS


async def test_a_slow_destination_delays_no_other(start: Start, tmp_path: Path) -> None:
    slow, pacs = Pacs(waits_at=UIDS[0]), Pacs()
    async with world(start, tmp_path) as there:
        await there.failed.record(SLOW, (), {NAMES[0]: AWAY})
        there.clock.now += timedelta(minutes=1)
        with listening(there.ports[0], pacs), listening(there.ports[1], slow):
            async with running(there.resender()) as (task,):

                async def slow_is_asked() -> bool:
                    return bool(slow.asked)

                async def pacs_has_it() -> bool:
                    return not await there.listed(PACS)

                await until(slow_is_asked)
                await there.failed.record(PACS, (), {NAMES[1]: AWAY})
                there.clock.now += timedelta(minutes=1)
                await until(pacs_has_it)
                assert not task.done()
                assert await there.listed() == {UIDS[0]}
                slow.go_on.set()
    assert list(pacs.data_sets) == [UIDS[1]]


async def test_what_is_on_its_way_is_sent_by_nobody_else_however_long_it_takes(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resender_module, "_RENEW_EVERY_S", 0.05)
    pacs = Pacs(waits_at=UIDS[0])
    async with world(start, tmp_path) as there:
        await there.failed.record(PACS, (), {NAMES[0]: AWAY})
        there.clock.now += timedelta(minutes=1)
        renewals = 0
        keep_busy = there.failed.keep_busy

        async def counted(names: Collection[str], busy_for: timedelta) -> None:
            nonlocal renewals
            await keep_busy(names, busy_for)
            renewals += 1

        monkeypatch.setattr(there.failed, "keep_busy", counted)
        with listening(there.ports[0], pacs):
            first, second = there.resender(), there.resender()
            async with running(first, second):

                async def is_asked() -> bool:
                    return bool(pacs.asked)

                await until(is_asked)
                by_hand = asyncio.create_task(second.retry(failed_send_name(PACS, NAMES[0])))
                for _ in range(12):
                    there.clock.now += timedelta(minutes=1)
                    before = renewals

                    async def is_renewed(at_least: int = before + 2) -> bool:
                        return renewals >= at_least

                    await until(is_renewed)
                assert not by_hand.done()
                pacs.go_on.set()
                assert await by_hand is None
        assert await there.listed() == set()
    assert pacs.asked == [UIDS[0]]


async def test_a_stop_leaves_in_the_list_what_was_not_sent_and_free_for_another(start: Start, tmp_path: Path) -> None:
    pacs = Pacs(waits_at=UIDS[2])
    async with world(start, tmp_path) as there:
        await there.failed.record(PACS, (), dict.fromkeys(NAMES, AWAY))
        there.clock.now += timedelta(minutes=1)
        with listening(there.ports[0], pacs):
            async with running(there.resender()):

                async def waits() -> bool:
                    return pacs.waits_at in pacs.asked

                await until(waits)
            pacs.go_on.set()
        assert await there.listed() == set(UIDS[2:])
        due = await there.failed.take_due(PACS, timedelta(minutes=2), 50)
        assert [one.instance for one in due] == NAMES[2:]
        assert {one.attempts for one in due} == {1}


async def test_an_end_lets_be_sent_what_is_on_its_way(start: Start, tmp_path: Path) -> None:
    pacs = Pacs(waits_at=UIDS[0])
    async with world(start, tmp_path) as there:
        await there.failed.record(PACS, (), dict.fromkeys(NAMES, AWAY))
        there.clock.now += timedelta(minutes=1)
        with listening(there.ports[0], pacs):
            resender = there.resender()
            async with running(resender) as (task,):

                async def waits() -> bool:
                    return bool(pacs.asked)

                await until(waits)
                resender.end()
                pacs.go_on.set()
                await asyncio.wait_for(task, 30)
        assert await there.listed() == set()


async def test_a_sending_that_is_cancelled_lists_what_it_knows_to_have_failed(start: Start, tmp_path: Path) -> None:
    pacs = Pacs(waits_at=UIDS[2], answer=0xC000)
    async with world(start, tmp_path) as there:
        sender = Sender(there.settings, there.storage, there.failed, Patience())
        request = pb.SendInstancesRequest(destination=PACS, names=NAMES)
        with listening(there.ports[0], pacs):
            destination = there.settings.gateway.destinations["pacs"]
            sending = asyncio.create_task(sender.send(request, destination, lambda *_: None))

            async def waits() -> bool:
                return pacs.waits_at in pacs.asked

            await until(waits)
            sending.cancel()
            await asyncio.wait({sending})
            pacs.go_on.set()
        assert sending.cancelled()
        assert await there.listed() == set(UIDS[:2])


async def test_outcomes_are_written_down_while_a_sending_goes_on_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written_down_module, "_EVERY_S", 0.01)
    written: list[tuple[set[str], dict[str, ImagingError]]] = []
    is_away = True

    async def record(sent: Collection[str], failed: Any) -> None:
        if is_away:
            raise AWAY
        if sent or failed:
            written.append((set(sent), dict(failed)))

    async with written_down(record) as tell:
        tell(Wanted("a", "", ""), None)
        await asyncio.sleep(0.05)
        is_away = False

        async def is_written() -> bool:
            return bool(written)

        await until(is_written)
        tell(Wanted("b", "", ""), AWAY)
    assert written == [({"a"}, {}), (set(), {"b": AWAY})]
