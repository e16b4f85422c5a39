"""The sweep for orphans: what nothing names goes when it is old enough, and nothing else, ever."""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imaging.errors import Unavailable
from imaging.objectstore import FolderObjectStore
from imaging.storage.v1 import storage_admin_service_pb2 as pb
from storage_svc.keeping.sweeper import Sweeper
from tests.storage.kept_objects import OTHER_PIXELS
from tests.storage.storage_under_test import Storage, chunks, ct
from tests.storage.test_store_instances import large

HOUR = 3600


async def sweep(storage: Storage, **fields: Any) -> tuple[pb.SweepReport, list[pb.OrphanObject]]:
    """The outcome, and all orphans that were told."""
    messages = await storage.admin("SweepStorage", **fields)
    return messages[-1].report, [orphan for message in messages for orphan in message.orphans]


def make_old(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (0, 0))


async def lay_out(storage: Storage) -> tuple[Path, Path]:
    """A kept version, an older one and a quarantined one, all of them old; an old and a young orphan."""
    await storage.store(ct(PatientName="A"))
    await storage.store(ct(PatientName="B"))
    await storage.store(ct(pixels=OTHER_PIXELS))
    kept = storage.objects()
    assert len(kept) == 3
    old, young = kept[0].with_name("1.2_abc1.dcm"), kept[0].with_name("1.2_abc2.dcm")
    old.write_bytes(b"123")
    young.write_bytes(b"12345")
    make_old(old, *kept)
    return old, young


async def test_old_orphans_are_removed_and_told_with_all_that_stays(storage: Storage) -> None:
    old, young = await lay_out(storage)
    report, orphans = await sweep(storage)
    assert (report.object_count, report.orphan_count, report.orphan_bytes) == (5, 1, 3)
    assert (report.removed_count, report.removed_bytes) == (1, 3)
    assert (report.young_count, report.young_bytes) == (1, 5)
    assert (report.grace_period.seconds, report.oldest_orphan_time.seconds) == (HOUR, 0)
    assert [(item.object_key.rpartition("/")[2], item.size_bytes, item.removed) for item in orphans] == [
        (old.name, 3, True)
    ]
    assert len(storage.objects()) == 4
    assert young in storage.objects()
    report, orphans = await sweep(storage)
    assert (report.orphan_count, orphans) == (0, [])
    assert not report.HasField("oldest_orphan_time")


async def test_a_dry_run_tells_the_same_and_removes_nothing(storage: Storage) -> None:
    old, _ = await lay_out(storage)
    report, orphans = await sweep(storage, dry_run=True)
    assert (report.orphan_count, report.removed_count, report.young_count) == (1, 0, 1)
    assert [item.removed for item in orphans] == [False]
    assert old in storage.objects()


async def test_an_empty_store_has_a_report_too(storage: Storage) -> None:
    report, orphans = await sweep(storage)
    assert (report.object_count, report.grace_period.seconds, orphans) == (0, HOUR, [])


async def test_many_orphans_are_told_in_steps(storage: Storage) -> None:
    folder = storage.folder / "storage" / "objects" / "studies" / "1.2.3" / "1.2.3.1"
    folder.mkdir(parents=True)
    for number in range(1203):
        path = folder / f"1_{number:x}.dcm"
        path.write_bytes(b"x")
        make_old(path)
    messages = await storage.admin("SweepStorage")
    assert [len(message.orphans) for message in messages] == [500, 500, 203]
    assert storage.objects() == []


async def test_the_bytes_of_an_open_upload_stay(storage: Storage) -> None:
    content = large()
    upload_id = str(uuid.uuid4())
    await storage.send(chunks(upload_id, content)[:10])
    spool = storage.folder / "storage" / "objects" / ".spool"
    (part,) = spool.iterdir()
    make_old(part)
    report, _ = await sweep(storage)
    assert report.object_count == 0
    assert part.exists()
    *_, answer = await storage.send(chunks(upload_id, content))
    assert answer.HasField("stored")


async def test_files_of_others_in_the_folder_are_left_alone(storage: Storage) -> None:
    await storage.store(ct())
    foreign = storage.objects()[0].with_name("not ours.txt")
    foreign.write_bytes(b"x")
    make_old(foreign)
    report, _ = await sweep(storage)
    assert (report.object_count, report.orphan_count) == (1, 0)
    assert foreign.exists()


async def test_a_sweep_beside_uploads_takes_none_of_their_objects(storage: Storage) -> None:
    """With no grace time at all only what has its row while it is looked at is sure to stay, so the grace is short."""

    async def store(number: int) -> None:
        await storage.store(*(ct(sop=f"1.2.3.{number}.{index}") for index in range(1, 11)))

    async def sweep_again() -> None:
        for _ in range(10):
            await storage.service.sweeper.remove_orphans(timedelta(seconds=20))

    await asyncio.gather(*(store(number) for number in range(8)), sweep_again())
    last = (await storage.admin("VerifyObjects"))[-1]
    assert (last.objects_done, list(last.damaged)) == (80, [])


async def test_a_store_that_does_not_answer_is_told_and_the_next_sweep_goes_on(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = await lay_out(storage)

    def away(self: FolderObjectStore, key: str) -> None:
        raise Unavailable("The object store does not answer", where=key)

    with monkeypatch.context() as patched:
        patched.setattr(FolderObjectStore, "delete", away)
        with pytest.raises(Unavailable):
            await sweep(storage)
    assert old in storage.objects()
    assert (await sweep(storage))[0].removed_count == 1


async def lay_orphan(storage: Storage) -> Path:
    orphan = storage.folder / "storage" / "objects" / "studies" / "1.2" / "1.2.1" / "1_a.dcm"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    make_old(orphan)
    return orphan


async def test_orphans_are_swept_in_the_background_in_a_period_of_their_own(start: Any) -> None:
    storage = await start(sweep_interval_seconds=0.05, orphan_sweep_hours=0.1 / HOUR)
    orphan = await lay_orphan(storage)
    async with asyncio.timeout(30):
        while orphan.exists():  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.02)


async def test_a_store_is_not_listed_each_time_that_expired_uploads_are_looked_for(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied = asyncio.Queue[None]()
    tidy = Sweeper.tidy

    async def told(self: Sweeper) -> None:
        await tidy(self)
        tidied.put_nowait(None)

    monkeypatch.setattr(Sweeper, "tidy", told)
    storage = await start(sweep_interval_seconds=0.05)
    orphan = await lay_orphan(storage)
    for _ in range(4):
        await asyncio.wait_for(tidied.get(), 30)
    assert orphan.exists()
