"""The scrub finds what was damaged behind the service's back, in the background and when it is asked."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from imaging.database import clock
from imaging.errors import NotFound, Unavailable
from imaging.objectstore import FolderObjectStore
from imaging.storage.v1 import storage_admin_pb2, storage_pb2
from storage_svc.keeping.object_check import Pace
from storage_svc.schema import KEPT_OBJECT
from tests.storage.storage_under_test import Storage, chunks, ct

Condition = storage_admin_pb2.ObjectCondition
MISSING, DIFFERING, OK = (
    Condition.OBJECT_CONDITION_MISSING,
    Condition.OBJECT_CONDITION_DIFFERING,
    Condition.OBJECT_CONDITION_OK,
)
Kind = storage_pb2.Change.Kind


def name_of(number: int, version: int = 1) -> str:
    return f"studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.{number}/versions/{version}"


async def slices(storage: Storage, count: int) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{number}") for number in range(1, count + 1)))


def damage(storage: Storage, number: int, how: str) -> None:
    (path,) = (path for path in storage.objects() if f"1.2.3.1.{number}_" in path.name)
    if how == "gone":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-2])
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


async def verify_times(storage: Storage) -> dict[str, int]:
    query = select(KEPT_OBJECT.c.object_key, KEPT_OBJECT.c.verify_time)
    rows = await storage.service._database.read(lambda c: c.execute(query).all())
    return dict(rows)  # type: ignore[arg-type]  # rows of two columns


async def make_older(storage: Storage, age: timedelta) -> None:
    """As if everything had been stored, and verified, long ago."""
    before = clock.now() - clock.microseconds(age)
    values = update(KEPT_OBJECT).values(verify_time=before)
    await storage.service._database.write(lambda c: c.execute(values))


async def until_scrubbed(storage: Storage, at_most: int = 0) -> Any:
    """The state of the scrub when it has verified all that was wanted, but for at most so many."""
    async with asyncio.timeout(60):
        while True:
            status = (await storage.admin("GetScrubStatus")).status
            if status.wanted_count <= at_most:
                return status
            await asyncio.sleep(0.02)


async def test_verifying_names_each_damaged_object_and_tells_why(storage: Storage) -> None:
    await slices(storage, 8)
    for number, how in ((2, "gone"), (4, "truncated"), (6, "flipped")):
        damage(storage, number, how)
    messages = await storage.admin("VerifyObjects")
    last = messages[-1]
    assert (last.objects_done, last.objects_total) == (8, 8)
    assert last.bytes_done == last.bytes_total == 8 * len(ct())
    found = {item.name: item.condition for message in messages for item in message.damaged}
    assert found == {name_of(2): MISSING, name_of(4): DIFFERING, name_of(6): DIFFERING}
    changes = await storage.changes(count=3, kinds=[Kind.KIND_OBJECT_DAMAGED])
    assert {change.name for change in changes} == set(found)
    again = [item.name for message in await storage.admin("VerifyObjects") for item in message.damaged]
    assert sorted(again) == sorted(found)  # told each time; the change log has heard of them
    status = (await storage.admin("GetScrubStatus")).status
    assert (status.missing_count, status.differing_count) == (1, 2)


async def test_names_choose_what_is_verified_with_all_versions_and_quarantined_objects(storage: Storage) -> None:
    await storage.store(ct(), ct("1.4", "1.4.1", "1.4.1.1"))
    await storage.store_one(ct(PatientName="Corrected"))
    (answer,) = await storage.store(ct(PatientID="other"))
    assert answer.HasField("rejected")
    for name, count in (("studies/1.4", 1), ("studies/1.2.3", 3), ("studies/1.2.3/series/1.2.3.1", 3)):
        assert (await storage.admin("VerifyObjects", names=[name]))[-1].objects_done == count
    both = await storage.admin("VerifyObjects", names=["studies/1.4", "studies/1.2.3"])
    assert both[-1].objects_done == both[-1].objects_total == 4
    for path in storage.objects():
        path.write_bytes(b"?")
    found = [
        item for message in await storage.admin("VerifyObjects", names=["studies/1.2.3"]) for item in message.damaged
    ]
    assert sorted((item.version, item.served) for item in found) == [(0, False), (1, False), (2, True)]
    with pytest.raises(NotFound):
        await storage.admin("VerifyObjects", names=["studies/1.2.3", "studies/1.9"])


async def test_looking_at_sizes_alone_finds_what_is_gone_or_truncated_and_reads_nothing(storage: Storage) -> None:
    await slices(storage, 4)
    times = await verify_times(storage)
    for number, how in ((1, "gone"), (2, "truncated"), (3, "flipped")):
        damage(storage, number, how)
    messages = await storage.admin("VerifyObjects", depth=2)
    found = {item.name: item.condition for message in messages for item in message.damaged}
    assert found == {name_of(1): MISSING, name_of(2): DIFFERING}
    assert await verify_times(storage) == times
    messages = await storage.admin("VerifyObjects")
    assert sum(len(message.damaged) for message in messages) == 3
    messages = await storage.admin("VerifyObjects", depth=2)  # what is known to differ is not whitewashed
    assert sum(len(message.damaged) for message in messages) == 3


async def test_wanted_at_once_the_scrub_verifies_everything_and_tells_of_damage(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    await slices(storage, 12)
    damage(storage, 3, "gone")
    damage(storage, 7, "flipped")
    with caplog.at_level(logging.ERROR):
        started = (await storage.admin("StartScrub")).status
        assert started.HasField("wanted_time")
        status = await until_scrubbed(storage)
    assert (status.object_count, status.missing_count, status.differing_count) == (12, 1, 1)
    assert status.oldest_verify_time.ToMicroseconds() >= started.wanted_time.ToMicroseconds()
    assert not status.HasField("wanted_time")
    changes = await storage.changes(count=2, kinds=[Kind.KIND_OBJECT_DAMAGED])
    assert {change.name for change in changes} == {name_of(3), name_of(7)}
    told = [record for record in caplog.records if "a stored object is" in record.getMessage()]
    assert sorted(record.getMessage() for record in told) == [
        "a stored object is differing",
        "a stored object is missing",
    ]


async def test_without_being_asked_late_objects_are_verified_and_young_ones_left_alone(start: Any) -> None:
    storage = await start(scrub_period_days=10)
    await slices(storage, 5)
    damage(storage, 2, "flipped")
    await make_older(storage, timedelta(days=11))
    await storage.store_one(ct(sop="1.2.3.1.9"))
    young = {key: time for key, time in (await verify_times(storage)).items() if "1.2.3.1.9_" in key}
    storage.service.scrubber._wake.set()
    (change,) = await storage.changes(count=1, kinds=[Kind.KIND_OBJECT_DAMAGED])
    assert change.name == name_of(2)
    status = (await storage.admin("GetScrubStatus")).status
    assert (status.overdue_count, status.differing_count) == (0, 1)
    after = await verify_times(storage)
    assert {key: after[key] for key in young} == young


async def test_in_the_period_objects_are_verified_evenly_by_their_size(start: Any) -> None:
    storage = await start(scrub_period_days=10)
    await slices(storage, 8)
    scrubber = storage.service.scrubber
    rows, _ = await scrubber._head()
    assert len(rows) == 8
    eight_days = timedelta(days=8).total_seconds()
    assert await scrubber._seconds_each(rows) == pytest.approx(eight_days / 8)
    large = [{**row, "size_bytes": 3 * row["size_bytes"] + 2 * 64 * 1024} for row in rows]
    assert await scrubber._seconds_each(large) == pytest.approx(3 * eight_days / 8)


async def test_a_restart_in_the_middle_goes_on_where_it_was(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage_svc.keeping.scrubber._BATCH_SECONDS", 0.2)
    storage = await start(scrub_bytes_per_second=2**20)  # 40 objects count as 4 MB
    await slices(storage, 40)
    damage(storage, 40, "flipped")
    stored = await verify_times(storage)
    await storage.admin("StartScrub")
    await until_scrubbed(storage, at_most=35)
    await start.stop(storage)
    storage = await start(storage.folder, scrub_bytes_per_second=2**16)
    in_between = await verify_times(storage)
    assert 0 < sum(in_between[key] != stored[key] for key in stored) < 40
    await start.stop(storage)
    storage = await start(storage.folder)
    status = await until_scrubbed(storage)
    assert status.differing_count == 1
    after = await verify_times(storage)
    assert all(after[key] > stored[key] for key in stored)
    assert any(after[key] == in_between[key] for key in stored)  # not verified again
    (change,) = await storage.changes(count=1, kinds=[Kind.KIND_OBJECT_DAMAGED])
    assert change.name == name_of(40)


async def test_during_a_scrub_studies_are_stored_corrected_and_deleted(storage: Storage) -> None:
    await slices(storage, 30)

    async def others() -> None:
        for number in range(1, 11):
            await storage.store_one(ct("1.5", "1.5.1", f"1.5.1.{number}"))
            await storage.store_one(ct(sop=f"1.2.3.1.{number}", PatientName="Corrected"))
            name = f"studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.{number + 15}"
            await storage.call("DeleteInstance", name=name, grace_period={"seconds": 0})
            await storage.service.sweeper.purge_deleted()

    async def scrubs() -> None:
        for _ in range(5):
            await storage.admin("StartScrub")
            await storage.admin("VerifyObjects")
            await until_scrubbed(storage)

    await asyncio.gather(others(), scrubs())
    status = (await storage.admin("GetScrubStatus")).status
    assert (status.missing_count, status.differing_count) == (0, 0)
    assert status.object_count == 30 - 10 + 10 + 10
    assert not (await storage.admin("ListDamagedObjects")).objects


async def test_one_object_that_cannot_be_read_now_does_not_hold_up_the_others(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await slices(storage, 6)
    read = FolderObjectStore.read

    def failing(store: FolderObjectStore, key: str, *args: Any) -> bytes:
        if "1.2.3.1.1_" in key:
            raise Unavailable("Its volume is away", where=key)
        return read(store, key, *args)

    monkeypatch.setattr(FolderObjectStore, "read", failing)
    monkeypatch.setattr("storage_svc.keeping.scrubber._FIRST_BACKOFF", 0.01)
    await storage.admin("StartScrub")
    status = await until_scrubbed(storage, at_most=1)
    assert (status.missing_count, status.differing_count) == (0, 0)


async def test_what_the_first_release_stored_gets_its_checksums_by_the_scrub(storage: Storage) -> None:
    large = ct(sop="1.2.3.1.9", Rows=3000, Columns=3500, pixels=bytes(range(250)) * (3000 * 3500 * 2 // 250))
    await slices(storage, 2)
    await storage.send(chunks("large", large))
    columns = select(KEPT_OBJECT.c.object_key, KEPT_OBJECT.c.object_crc32c, KEPT_OBJECT.c.piece_checksums)
    database = storage.service._database
    before = await database.read(lambda c: c.execute(columns).all())
    forget = update(KEPT_OBJECT).values(verify_time=0, object_crc32c=None, piece_checksums=None)
    await database.write(lambda c: c.execute(forget))
    for name in ("studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.9", "studies/1.2.3"):
        assert await storage.stream("RetrieveMetadata", name=name)
    storage.service.scrubber._wake.set()
    async with asyncio.timeout(60):
        while sorted(await database.read(lambda c: c.execute(columns).all())) != sorted(before):
            await storage.admin("GetScrubStatus")
    assert not (await storage.admin("GetScrubStatus")).status.overdue_count


async def test_pages_of_damaged_objects(storage: Storage) -> None:
    await slices(storage, 5)
    for number in range(1, 6):
        damage(storage, number, "gone")
    await storage.admin("VerifyObjects", depth=2)
    names, token = [], ""
    while True:
        page = await storage.admin("ListDamagedObjects", page_size=2, page_token=token)
        names += [item.name for item in page.objects]
        if not (token := page.next_page_token):
            break
    assert names == [name_of(number) for number in range(1, 6)]


async def test_the_rate_bounds_what_is_read() -> None:
    pace = Pace(1_000_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(4):
        await pace.spend(50_000)
    assert loop.time() - began >= 0.19
