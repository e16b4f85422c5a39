"""The change log: gapless, in commit order, watched from anywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, update

from imaging.errors import InvalidArgument, RevisionTooOld, Unavailable
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub
from storage_svc.index.watch import watch_changes
from storage_svc.schema import CHANGE, CHANGE_HEAD
from tests.storage.storage_under_test import Storage, ct

Kind = storage_pb2.Change


async def test_a_watcher_sees_every_change_once_and_in_order_while_many_write(storage: Storage) -> None:
    async def write(number: int) -> None:
        await storage.store(*(ct(f"1.{number}", f"1.{number}.1", f"1.{number}.1.{k}") for k in range(1, 8)))

    watching = asyncio.create_task(storage.changes(count=70))
    await asyncio.gather(*(write(number) for number in range(1, 11)))
    changes = await watching
    assert [change.revision for change in changes] == list(range(1, 71))
    assert all(change.kind == Kind.KIND_INSTANCE_STORED and change.size_bytes and change.digest for change in changes)
    assert len({change.name for change in changes}) == 70
    assert await storage.changes(31, count=40) == changes[30:]


async def test_changes_carry_no_patient_data(storage: Storage) -> None:
    await storage.store(ct(PatientName="Secret^Name", PatientID="Secret-ID"))
    await storage.complete("1.2.3")
    assert "Secret" not in str(await storage.changes(count=2))


async def test_a_filtered_watch_learns_how_far_the_log_was_looked_at(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n}") for n in range(1, 6)))
    call = storage.stub.WatchChanges(
        pb.WatchChangesRequest(start_revision=1, kinds=[Kind.KIND_STUDY_COMPLETED]), timeout=30
    )
    first = await call.read()
    assert (list(first.changes), first.revision) == ([], 5)
    await storage.complete("1.2.3")
    second = await call.read()
    assert [change.revision for change in second.changes] == [6]
    call.cancel()


async def test_an_idle_watch_tells_the_head(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    call = storage.stub.WatchChanges(pb.WatchChangesRequest(start_revision=0), timeout=30)
    assert (await call.read()).revision == 0
    await storage.store(ct())
    message = await call.read()
    assert [change.revision for change in message.changes] == [1]
    call.cancel()


async def test_a_revision_that_is_gone_is_out_of_range_with_the_oldest(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n}") for n in range(1, 6)))

    def forget(connection: Any) -> None:
        connection.execute(delete(CHANGE).where(CHANGE.c.revision < 4))
        connection.execute(update(CHANGE_HEAD).values(oldest_revision=4))

    await storage.service._database.write(forget)
    with pytest.raises(RevisionTooOld) as caught:
        await storage.changes(2, count=1)
    assert caught.value.metadata["oldest_revision"] == "4"
    assert [change.revision for change in await storage.changes(4, count=2)] == [4, 5]
    with pytest.raises(InvalidArgument):
        await storage.changes(-1, count=1)


async def test_old_changes_are_forgotten_without_a_gap(storage: Storage) -> None:
    await storage.store(ct())
    log = storage.service._completion._changes
    assert await log.forget_before(0) == 0
    assert await log.forget_before(2**60) == 1
    await storage.store(ct(sop="1.2.3.1.2"))
    assert await log.bounds() == (2, 2)
    assert [change.revision for change in await storage.changes(2, count=1)] == [2]


async def test_a_watcher_that_is_slower_than_the_log_is_forgotten_is_told_so(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{n}") for n in range(1, 4)))
    log = storage.service._completion._changes
    watching = watch_changes(log, 1, [], batch=1)
    assert [change.revision for change in (await anext(watching)).changes] == [1]
    assert await log.forget_before(2**60) == 3
    with pytest.raises(RevisionTooOld) as caught:
        await anext(watching)
    assert caught.value.metadata["oldest_revision"] == "4"


async def test_changes_that_came_after_a_young_one_are_kept_whatever_the_clock_said(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    await storage.store(ct(sop="1.2.3.1.2"))
    log = storage.service._completion._changes
    await storage.service._database.write(
        lambda connection: connection.execute(update(CHANGE).where(CHANGE.c.revision == 2).values(create_time=0))
    )
    assert await log.forget_before(1) == 0
    assert [change.revision for change in await storage.changes(1, count=2)] == [1, 2]


async def test_revisions_go_on_after_a_restart(start: Any) -> None:
    storage = await start()
    await storage.store(ct(sop="1.2.3.1.1"))
    await start.stop(storage)
    storage = await start()
    await storage.store(ct(sop="1.2.3.1.2"))
    assert [change.revision for change in await storage.changes(count=2)] == [1, 2]


async def test_64_writers_on_one_study_are_told_in_one_order_without_a_gap(storage: Storage) -> None:
    async def write(writer: int) -> None:
        for number in range(4):
            content = ct(series=f"1.2.3.{writer % 5}", sop=f"1.2.3.{writer}.{number}")
            assert (await storage.store_one(content)).outcome == storage_pb2.STORE_OUTCOME_STORED

    watching = [asyncio.create_task(storage.changes(count=256)) for _ in range(3)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(write(writer) for writer in range(64)))
        for seen in await asyncio.gather(*watching):
            assert [change.revision for change in seen] == list(range(1, 257))
            assert len({change.name for change in seen}) == 256
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert (study.instance_count, study.series_count) == (256, 5)


async def test_a_watch_does_not_hold_up_a_service_that_stops(start: Any) -> None:
    storage = await start()
    await storage.store(ct())
    async with open_channel(f"127.0.0.1:{storage.service._server.port}") as channel:
        watch = StorageServiceStub(channel).WatchChanges(pb.WatchChangesRequest(start_revision=1))
        with domain_errors():
            assert (await watch.read()).revision == 1
        stopping = asyncio.create_task(start.stop(storage))
        with pytest.raises(Unavailable, match="Watch again from revision 2"), domain_errors():
            await watch.read()
        await stopping
