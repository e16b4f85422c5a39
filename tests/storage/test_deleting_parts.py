"""Deleting and restoring series and instances: what goes, what comes back, and what becomes of the manifest."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from imaging.errors import FailedPrecondition, InvalidArgument, NotFound
from imaging.storage.v1 import storage_pb2
from storage_svc.schema import AUDIT, SERIES
from tests.storage.storage_under_test import Storage, ct, origin

Kind = storage_pb2.Change.Kind
STUDY, FIRST, SECOND = "studies/1.2.3", "studies/1.2.3/series/1.2.3.1", "studies/1.2.3/series/1.2.3.2"


def instance(number: int, series: str = FIRST) -> str:
    return f"{series}/instances/{series.rpartition('/')[2]}.{number}"


async def two_series(storage: Storage) -> None:
    """Two received series of two instances each."""
    for series in ("1.2.3.1", "1.2.3.2"):
        await storage.store(*(ct(series=series, sop=f"{series}.{number}") for number in (1, 2)))


async def found(storage: Storage) -> list[str]:
    return [item.sop_instance_uid for item in (await storage.call("SearchInstances")).instances]


async def kinds_from(storage: Storage, revision: int, count: int) -> list[tuple[int, str]]:
    return [(change.kind, change.name) for change in await storage.changes(revision, count=count)]


async def test_a_deleted_series_is_nowhere_to_be_found_and_comes_back_as_it_was(storage: Storage) -> None:
    await two_series(storage)
    before = (await storage.call("GetSeries", name=FIRST)).series
    deleted = (await storage.call("DeleteSeries", name=FIRST)).series
    assert deleted.purge_time.seconds > before.purge_time.seconds == 0
    for method, name in (("GetSeries", FIRST), ("GetInstance", instance(1))):
        with pytest.raises(NotFound):
            await storage.call(method, name=name)
    with pytest.raises(NotFound):
        await storage.stream("RetrieveInstances", name=FIRST)
    assert await found(storage) == ["1.2.3.2.1", "1.2.3.2.2"]
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.series_count, study.instance_count) == (1, 2)
    again = (await storage.call("DeleteSeries", name=FIRST)).series
    assert again == deleted
    restored = (await storage.call("RestoreSeries", name=FIRST)).series
    assert (restored.instance_count, restored.size_bytes, restored.frame_count) == (
        before.instance_count,
        before.size_bytes,
        before.frame_count,
    )
    assert not restored.HasField("purge_time")
    assert restored.etag != before.etag
    assert len(await found(storage)) == 4
    assert await kinds_from(storage, 5, 2) == [(Kind.KIND_SERIES_DELETED, FIRST), (Kind.KIND_SERIES_RESTORED, FIRST)]


async def test_a_deleted_instance_comes_back_alone(storage: Storage) -> None:
    await two_series(storage)
    deleted = (await storage.call("DeleteInstance", name=instance(2))).instance
    assert deleted.HasField("purge_time")
    assert await found(storage) == ["1.2.3.1.1", "1.2.3.2.1", "1.2.3.2.2"]
    assert (await storage.call("GetSeries", name=FIRST)).series.instance_count == 1
    restored = (await storage.call("RestoreInstance", name=instance(2))).instance
    assert not restored.HasField("purge_time")
    assert (await storage.call("GetInstance", name=instance(2))).instance == restored
    await storage.call("RestoreInstance", name=instance(2))  # again: nothing changes
    assert await kinds_from(storage, 5, 2) == [
        (Kind.KIND_INSTANCE_DELETED, instance(2)),
        (Kind.KIND_INSTANCE_RESTORED, instance(2)),
    ]


async def test_without_a_series_the_study_is_a_new_version_of_its_manifest_and_with_it_again_one_more(
    storage: Storage,
) -> None:
    await two_series(storage)
    whole = await storage.complete("1.2.3")
    await storage.call("DeleteSeries", name=FIRST)
    assert (await storage.call("GetStudy", name=STUDY)).study.manifest.open
    part = await storage.complete("1.2.3")
    assert (part.version, part.instance_count) == (2, 2)
    await storage.call("RestoreSeries", name=FIRST)
    again = await storage.complete("1.2.3")
    assert (again.version, again.instance_count, again.digest) == (3, 4, whole.digest)


async def test_what_is_deleted_and_restored_within_the_quiet_time_starts_nothing(storage: Storage) -> None:
    await two_series(storage)
    whole = await storage.complete("1.2.3")
    await storage.call("DeleteInstance", name=instance(1))
    await storage.call("RestoreInstance", name=instance(1))
    assert await storage.complete("1.2.3") == whole


async def test_the_quiet_time_after_a_deletion_completes_the_study_by_itself(start: Any) -> None:
    storage = await start(quiet_time_seconds=0.2)
    await two_series(storage)
    await storage.changes(count=1, kinds=[Kind.KIND_STUDY_COMPLETED])
    await storage.call("DeleteInstance", name=instance(1))
    first, second = await storage.changes(count=2, kinds=[Kind.KIND_STUDY_COMPLETED])
    assert (first.manifest_version, second.manifest_version) == (1, 2)


async def test_a_deleted_result_does_not_touch_the_manifest(storage: Storage) -> None:
    await two_series(storage)
    await storage.store_one(ct(series="1.2.3.3", sop="1.2.3.3.1"), origin=origin())
    await storage.complete("1.2.3")
    await storage.call("DeleteSeries", name="studies/1.2.3/series/1.2.3.3")
    assert not (await storage.call("GetStudy", name=STUDY)).study.manifest.open


async def test_a_study_whose_last_part_is_deleted_counts_as_deleted(storage: Storage) -> None:
    await two_series(storage)
    await storage.call("DeleteSeries", name=FIRST)
    await storage.call("DeleteInstance", name=instance(1, SECOND))
    await storage.call("DeleteInstance", name=instance(2, SECOND), grace_period={"seconds": 10**7})
    with pytest.raises(NotFound):
        await storage.call("GetStudy", name=STUDY)
    assert not (await storage.call("SearchStudies")).studies
    last_two = await kinds_from(storage, 7, 2)
    assert last_two == [(Kind.KIND_INSTANCE_DELETED, instance(2, SECOND)), (Kind.KIND_STUDY_DELETED, STUDY)]
    with pytest.raises(FailedPrecondition, match="in parts"):
        await storage.call("RestoreStudy", name=STUDY)
    with pytest.raises(FailedPrecondition, match="in parts"):
        await storage.call("RestoreSeries", name=SECOND)
    await storage.call("RestoreInstance", name=instance(2, SECOND))
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.series_count, study.instance_count, study.HasField("purge_time")) == (1, 1, False)


async def test_an_instance_that_was_deleted_by_itself_does_not_come_back_with_its_study(storage: Storage) -> None:
    await two_series(storage)
    await storage.call("DeleteInstance", name=instance(1))
    await storage.call("DeleteStudy", name=STUDY)
    await storage.call("RestoreStudy", name=STUDY)
    assert await found(storage) == ["1.2.3.1.2", "1.2.3.2.1", "1.2.3.2.2"]
    await storage.call("DeleteStudy", name=STUDY)
    await storage.call("RestoreSeries", name=FIRST)
    assert await found(storage) == ["1.2.3.1.2"]
    await storage.call("RestoreInstance", name=instance(1))
    assert await found(storage) == ["1.2.3.1.1", "1.2.3.1.2"]


async def test_a_late_instance_makes_a_deleted_series_be_there_again_with_it_alone(storage: Storage) -> None:
    await two_series(storage)
    await storage.call("DeleteSeries", name=FIRST)
    await storage.store_one(ct(sop="1.2.3.1.3"))
    assert await found(storage) == ["1.2.3.1.3", "1.2.3.2.1", "1.2.3.2.2"]
    assert (await storage.complete("1.2.3")).instance_count == 3


async def test_an_instance_sent_again_is_restored_and_goes_and_comes_with_its_study_again(storage: Storage) -> None:
    await two_series(storage)
    await storage.call("DeleteInstance", name=instance(1))
    outcome = (await storage.store_one(ct(sop="1.2.3.1.1"))).outcome
    assert outcome == storage_pb2.STORE_OUTCOME_RESTORED
    await storage.call("DeleteStudy", name=STUDY)
    await storage.call("RestoreStudy", name=STUDY)
    assert len(await found(storage)) == 4


async def test_etags_of_series_and_instances_guard_against_what_came_meanwhile(storage: Storage) -> None:
    await two_series(storage)
    series = (await storage.call("GetSeries", name=FIRST)).series
    other = (await storage.call("GetSeries", name=SECOND)).series
    one = (await storage.call("GetInstance", name=instance(1))).instance
    await storage.store_one(ct(sop="1.2.3.1.1", PatientName="Corrected"))
    for method, name, etag in (("DeleteSeries", FIRST, series.etag), ("DeleteInstance", instance(1), one.etag)):
        with pytest.raises(FailedPrecondition, match="changed"):
            await storage.call(method, name=name, etag=etag)
        current = await storage.call(method.replace("Delete", "Get"), name=name)
        await storage.call(method, name=name, etag=(current.series if "Series" in method else current.instance).etag)
        await storage.call(method.replace("Delete", "Restore"), name=name)
    await storage.call("DeleteSeries", name=SECOND, etag=other.etag)  # nothing of it had changed


async def test_purged_instances_leave_the_rest_of_their_study_and_no_empty_series(storage: Storage) -> None:
    await two_series(storage)
    await storage.call("DeleteSeries", name=FIRST, grace_period={"seconds": 0})
    await storage.call("DeleteInstance", name=instance(1, SECOND), grace_period={"seconds": 0})
    assert await storage.service.sweeper.purge_deleted() == 3
    assert await found(storage) == ["1.2.3.2.2"]
    for method, name in (("RestoreSeries", FIRST), ("RestoreInstance", instance(1, SECOND))):
        with pytest.raises(NotFound):
            await storage.call(method, name=name)
    series = await storage.service._database.read(lambda c: c.execute(select(SERIES.c.series_instance_uid)).scalars())
    assert list(series) == ["1.2.3.2"]
    assert len(list((storage.folder / "storage" / "objects" / "studies").rglob("*.dcm"))) == 1


async def test_who_deleted_and_restored_what_and_why_is_kept(storage: Storage) -> None:
    await two_series(storage)
    await storage.call("DeleteInstance", name=instance(1), reason="motion, repeated")
    await storage.call("RestoreInstance", name=instance(1), reason="wrong one")
    rows = await storage.service._database.read(
        lambda c: c.execute(select(AUDIT).order_by(AUDIT.c.id)).mappings().all()
    )
    assert [(row["action"], row["name"], row["peer"], row["reason"]) for row in rows] == [
        ("DELETE", instance(1), "127.0.0.1", "motion, repeated"),
        ("RESTORE", instance(1), "127.0.0.1", "wrong one"),
    ]
    with pytest.raises(InvalidArgument) as caught:
        await storage.call("DeleteInstance", name=instance(1), reason="x" * 501)
    assert caught.value.where == "reason"


@pytest.mark.parametrize("method", ["DeleteSeries", "RestoreSeries", "DeleteInstance", "RestoreInstance"])
async def test_what_is_not_there_or_has_another_place_is_not_found(storage: Storage, method: str) -> None:
    await two_series(storage)
    name = "studies/1.2.9/series/1.2.3.1" if "Series" in method else f"{SECOND}/instances/1.2.3.1.1"
    with pytest.raises(NotFound):
        await storage.call(method, name=name)
    with pytest.raises(InvalidArgument):
        await storage.call(method, name=STUDY)
