"""Deleting: softly, back again, and for good; and what the sweeper may never take."""

from __future__ import annotations

import os
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from imaging.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from imaging.storage.v1 import storage_pb2
from storage_svc.keeping.sweeper import Sweeper
from storage_svc.schema import KEPT_OBJECT
from tests.storage.storage_under_test import Storage, chunks, ct

Kind = storage_pb2.Change


def objects(storage: Storage) -> list[Path]:
    return list((storage.folder / "storage" / "objects" / "studies").rglob("*.dcm"))


async def test_a_deleted_study_is_nowhere_to_be_found_and_its_bytes_stay_for_the_grace_time(storage: Storage) -> None:
    await storage.store(ct())
    deleted = (await storage.call("DeleteStudy", name="studies/1.2.3")).study
    assert deleted.purge_time.seconds > time.time() + 6 * 86400
    for method, name in (
        ("GetStudy", "studies/1.2.3"),
        ("GetSeries", "studies/1.2.3/series/1.2.3.1"),
        ("GetInstance", "studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"),
    ):
        with pytest.raises(NotFound):
            await storage.call(method, name=name)
    with pytest.raises(NotFound):
        await storage.stream("RetrieveInstances", name="studies/1.2.3")
    assert not (await storage.call("SearchStudies")).studies
    assert not (await storage.call("SearchInstances")).instances
    assert len(objects(storage)) == 1
    again = (await storage.call("DeleteStudy", name="studies/1.2.3")).study
    assert again.purge_time == deleted.purge_time
    with pytest.raises(NotFound):
        await storage.call("DeleteStudy", name="studies/1.2.9")


async def test_a_restored_study_is_as_it_was_and_starts_no_new_manifest(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"), ct(sop="1.2.3.1.2"))
    first = await storage.complete("1.2.3")
    before = (await storage.call("GetStudy", name="studies/1.2.3")).study
    await storage.call("DeleteStudy", name="studies/1.2.3")
    restored = (await storage.call("RestoreStudy", name="studies/1.2.3")).study
    assert (restored.instance_count, restored.series_count, restored.size_bytes) == (
        before.instance_count,
        before.series_count,
        before.size_bytes,
    )
    assert not restored.HasField("purge_time")
    assert (await storage.complete("1.2.3")) == first
    kinds = [change.kind for change in await storage.changes(4, count=2)]
    assert kinds == [Kind.KIND_STUDY_DELETED, Kind.KIND_STUDY_RESTORED]


async def test_storing_a_deleted_instance_again_restores_it_alone(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"), ct(sop="1.2.3.1.2"))
    await storage.call("DeleteStudy", name="studies/1.2.3")
    stored = await storage.store_one(ct(sop="1.2.3.1.1"))
    assert stored.outcome == storage_pb2.STORE_OUTCOME_RESTORED
    study = (await storage.call("GetStudy", name="studies/1.2.3")).study
    assert study.instance_count == 1
    corrected = await storage.store_one(ct(sop="1.2.3.1.2", PatientName="Other"))
    assert corrected.outcome == storage_pb2.STORE_OUTCOME_NEW_VERSION
    assert (await storage.call("GetStudy", name="studies/1.2.3")).study.instance_count == 2
    assert (await storage.complete("1.2.3")).instance_count == 2


async def test_a_study_is_not_deleted_on_an_old_etag(storage: Storage) -> None:
    await storage.store(ct(sop="1.2.3.1.1"))
    etag = (await storage.call("GetStudy", name="studies/1.2.3")).study.etag
    await storage.store(ct(sop="1.2.3.1.2"))
    with pytest.raises(FailedPrecondition):
        await storage.call("DeleteStudy", name="studies/1.2.3", etag=etag)
    etag = (await storage.call("GetStudy", name="studies/1.2.3")).study.etag
    await storage.call("DeleteStudy", name="studies/1.2.3", etag=etag)


async def test_the_sweeper_purges_when_the_grace_time_is_over_and_not_before(storage: Storage) -> None:
    await storage.store(ct("1.1", "1.1.1", "1.1.1.1"), ct("1.2", "1.2.1", "1.2.1.1"), ct("1.3", "1.3.1", "1.3.1.1"))
    await storage.call("DeleteStudy", name="studies/1.1", grace_period={"seconds": 0})
    await storage.call("DeleteStudy", name="studies/1.2")
    await storage.service.sweeper.sweep()
    assert sorted(path.parts[-3] for path in objects(storage)) == ["1.2", "1.3"]
    with pytest.raises(NotFound):
        await storage.call("RestoreStudy", name="studies/1.1")
    await storage.call("RestoreStudy", name="studies/1.2")
    assert (await storage.store_one(ct("1.1", "1.1.1", "1.1.1.1"))).outcome == storage_pb2.STORE_OUTCOME_STORED


async def test_old_versions_and_quarantined_objects_go_with_their_instance_only(storage: Storage) -> None:
    await storage.store(ct(PatientName="A"))
    await storage.store(ct(PatientName="B"))
    await storage.store(ct(PatientName="A", PatientID="other"))
    assert len(objects(storage)) == 3
    await storage.service.sweeper.remove_orphans(timedelta(0))
    assert len(objects(storage)) == 3
    await storage.call("DeleteStudy", name="studies/1.2.3", grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    assert objects(storage) == []
    count = select(func.count()).select_from(KEPT_OBJECT)
    assert await storage.service._database.read(lambda c: c.execute(count).scalar_one()) == 0


async def test_orphans_go_when_they_are_older_than_the_grace_time(storage: Storage) -> None:
    await storage.store(ct())
    (kept,) = objects(storage)
    young, old = kept.with_name("young.dcm"), kept.with_name("old.dcm")
    young.write_bytes(b"x")
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    os.utime(kept, (0, 0))
    assert await storage.service.sweeper.remove_orphans(timedelta(hours=1)) == 1
    assert sorted(objects(storage)) == sorted([kept, young])


@pytest.mark.parametrize("purges", [True, False])
async def test_abandoned_uploads_expire_even_when_nothing_can_be_purged(
    start: Any, monkeypatch: pytest.MonkeyPatch, purges: bool
) -> None:
    async def fail(sweeper: Sweeper) -> int:
        raise Unavailable("The bucket is away")

    if not purges:
        monkeypatch.setattr(Sweeper, "purge_deleted", fail)
    storage = await start(upload_expiry_hours=1e-9)
    content = ct() + bytes(9 << 20)
    await storage.send(chunks(str(uuid.uuid4()), content)[:4])
    spool = storage.folder / "storage" / "objects" / ".spool"
    assert len(list(spool.iterdir())) == 1
    await storage.service.sweeper.sweep()
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("grace", [{"seconds": 2**62}, {"seconds": -5}, {"nanos": -1}])
async def test_a_grace_period_that_cannot_be_is_refused_and_nothing_is_deleted(
    storage: Storage, grace: dict[str, int]
) -> None:
    await storage.store_one(ct())
    with pytest.raises(InvalidArgument) as caught:
        await storage.call("DeleteStudy", name="studies/1.2.3", grace_period=grace)
    assert caught.value.where == "grace_period"
    assert (await storage.call("GetStudy", name="studies/1.2.3")).study.instance_count == 1
