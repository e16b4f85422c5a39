"""Reports over associations of ours: one replica at a time, however long it takes, and with an end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel
from sqlalchemy import select

from gateway_svc.dimse import report_delivery
from gateway_svc.dimse.commitment import CommitmentReport, CommitmentRequest, read_back
from gateway_svc.dimse.owed_reports import AGAIN, HELD_FOR, Owed, OwedReports
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.report_delivery import ReportDelivery
from gateway_svc.schema import COMMITMENT, TABLES
from imaging.database import Database
from imaging.database.access import DatabaseAccess
from imaging.rpc.channel import open_channel
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub
from tests.gateway.dimse.archive import free_port
from tests.gateway.dimse.test_acceptors import settings
from tests.gateway.dimse.test_owed_reports import INSTANCES, Clock
from tests.installation.in_process import services_in_process


@dataclass
class Modality:
    """An SCP of reports that takes its time."""

    port: int
    called: threading.Event
    """An association was established."""
    asked: threading.Event
    """A report has come."""
    may_answer: threading.Event
    associations: list[Association] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While it is on."""
        entity = AE(ae_title="MODALITY")
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_ESTABLISHED, self._called), (evt.EVT_N_EVENT_REPORT, self._asked)]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            self.may_answer.set()
            server.shutdown()
            server.server_close()

    def _called(self, event: evt.Event) -> None:
        self.associations.append(event.assoc)
        self.called.set()

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        self.asked.set()
        self.may_answer.wait(60)
        return 0, None


@pytest.fixture
def modality() -> Modality:
    """One that is not on yet."""
    return Modality(free_port(), threading.Event(), threading.Event(), threading.Event())


@dataclass
class World:
    """A report that is owed, and the clock and table of the replicas."""

    clock: Clock
    reports: OwedReports
    database: Database
    owed: Owed

    async def taken_by_another(self) -> list[Owed]:
        """What another replica would begin to deliver now."""
        return [owed for owed, _ in await OwedReports(self.database, self.clock).take_due(HELD_FOR)]

    async def next_try_time(self) -> int | None:
        """In microseconds; None if nothing is owed."""
        return await self.database.read(
            lambda connection: connection.execute(select(COMMITMENT.c.next_try_time)).scalar()
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One in which nobody is at the report."""
    clock, database = Clock(), Database.open(DatabaseAccess(f"sqlite:///{tmp_path}/gateway.db"), TABLES)
    reports = OwedReports(database, clock)
    owed = await reports.keep("MODALITY", CommitmentRequest("1.2.3.99", INSTANCES))
    await reports.release([owed])
    yield World(clock, reports, database, owed)
    await database.close()


@asynccontextmanager
async def delivering(world: World, modality: Modality, data_dir: Path, storage: str = "") -> AsyncIterator[None]:
    """A gateway's delivery; cancelled at the end."""
    there = {"ct": {"ae_title": "MODALITY", "address": f"127.0.0.1:{modality.port}"}}
    own = settings(data_dir, storage, destinations=there)
    async with open_channel(own.storage.address) as channel:
        delivery = ReportDelivery(StorageServiceStub(channel), RemoteAes(own), world.reports, hold_every_seconds=0.02)
        running = asyncio.create_task(delivery.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def storage_beside(modality: Modality, data_dir: Path) -> AsyncIterator[str]:
    """The address of storage, while it and the modality are on."""
    async with services_in_process(data_dir, "storage") as running:
        with modality.listening():
            yield running.storage.address


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what comes soon."""
    for _ in range(3000):
        if await holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come")


async def until_none_is_owed(world: World) -> None:
    """It was taken, or given up."""

    async def holds() -> bool:
        return await world.next_try_time() is None

    await until(holds)


async def until_held(world: World) -> None:
    """For the whole time from now on."""

    async def holds() -> bool:
        return await world.next_try_time() == int((world.clock.now + HELD_FOR).timestamp() * 1e6)

    await until(holds)


async def test_others_keep_off_a_report_however_long_it_is_on_its_way(
    world: World, modality: Modality, tmp_path: Path
) -> None:
    async with storage_beside(modality, tmp_path) as storage, delivering(world, modality, tmp_path, storage):
        assert await asyncio.to_thread(modality.asked.wait, 30)
        for _ in range(3):
            world.clock.now += HELD_FOR - timedelta(seconds=1)
            await until_held(world)
            assert await world.taken_by_another() == []
        modality.may_answer.set()
        await until_none_is_owed(world)


async def test_a_report_whose_delivery_is_broken_off_is_due_at_once(
    world: World, modality: Modality, tmp_path: Path
) -> None:
    async with storage_beside(modality, tmp_path) as storage:
        async with delivering(world, modality, tmp_path, storage):
            assert await asyncio.to_thread(modality.asked.wait, 30)
        assert await world.taken_by_another() == [world.owed]


async def test_a_report_that_always_meets_a_defect_is_given_up(
    world: World, modality: Modality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(self: RemoteAes, ae_title: str) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(RemoteAes, "by_ae_title", defect)
    world.clock.now += AGAIN.give_up_after
    async with delivering(world, modality, tmp_path):
        await until_none_is_owed(world)


async def test_nothing_is_read_for_a_modality_that_is_away(
    world: World, modality: Modality, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Storage is away too: who asks it first would say so."""
    caplog.set_level(logging.WARNING)

    async def has_failed() -> bool:
        return any("was not taken" in record.message for record in caplog.records)

    async with delivering(world, modality, tmp_path):
        await until(has_failed)
    assert [record.why for record in caplog.records if "No connection to the AE" in getattr(record, "why", "")]


async def test_a_modality_that_does_not_like_to_wait_is_called_again(
    world: World,
    modality: Modality,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slowly(storage: StorageServiceStub, request: CommitmentRequest) -> CommitmentReport:
        assert await asyncio.to_thread(modality.called.wait, 30)
        await asyncio.to_thread(modality.associations[0].abort)
        return await read_back(storage, request)

    monkeypatch.setattr(report_delivery, "read_back", slowly)
    modality.may_answer.set()
    async with storage_beside(modality, tmp_path) as storage, delivering(world, modality, tmp_path, storage):
        await until_none_is_owed(world)
    assert len(modality.associations) == 2
    assert not [record for record in caplog.records if "was not taken" in record.message]
