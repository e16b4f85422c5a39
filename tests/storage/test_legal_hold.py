"""Legal hold: what is held can be neither deleted nor purged."""

from __future__ import annotations

from typing import Any

import pytest

from imaging.errors import FailedPrecondition, InvalidArgument, NotFound, OnHold
from imaging.storage.v1 import storage_pb2
from storage_svc.lifecycle.audit import audit_entries
from tests.storage.storage_under_test import Storage, ct

STUDY = "studies/1.2.3"


async def hold(storage: Storage, reason: str = "case 7", **study: Any) -> storage_pb2.Study:
    wanted = {"name": STUDY, "legal_hold": {"reason": reason}, **study}
    return (await storage.call("UpdateStudy", study=wanted, update_mask={"paths": ["legal_hold"]})).study


async def release(storage: Storage) -> storage_pb2.Study:
    return (await storage.call("UpdateStudy", study={"name": STUDY}, update_mask={"paths": ["legal_hold"]})).study


async def test_a_held_study_cannot_be_deleted_in_whole_or_in_part(storage: Storage) -> None:
    await storage.store_one(ct())
    held = await hold(storage)
    assert held.legal_hold.reason == "case 7"
    assert (await storage.call("GetStudy", name=STUDY)).study == held
    for method, name in (
        ("DeleteStudy", STUDY),
        ("DeleteSeries", f"{STUDY}/series/1.2.3.1"),
        ("DeleteInstance", f"{STUDY}/series/1.2.3.1/instances/1.2.3.1.1"),
    ):
        with pytest.raises(OnHold):
            await storage.call(method, name=name)
    assert (await storage.call("GetStudy", name=STUDY)).study == held
    assert not (await release(storage)).HasField("legal_hold")
    await storage.call("DeleteStudy", name=STUDY)


async def test_a_deleted_study_that_is_held_then_is_not_purged_and_can_be_restored(storage: Storage) -> None:
    await storage.store_one(ct())
    await storage.call("DeleteStudy", name=STUDY, grace_period={"seconds": 0})
    await hold(storage)
    assert await storage.service.sweeper.purge_deleted() == 0
    assert (await storage.call("RestoreStudy", name=STUDY)).study.instance_count == 1
    await release(storage)
    await storage.call("DeleteStudy", name=STUDY, grace_period={"seconds": 0})
    assert await storage.service.sweeper.purge_deleted() == 1


async def test_a_held_study_takes_new_instances_and_corrections(storage: Storage) -> None:
    await storage.store_one(ct())
    await hold(storage)
    assert (await storage.store_one(ct(sop="1.2.3.1.2"))).outcome == storage_pb2.STORE_OUTCOME_STORED
    corrected = await storage.store_one(ct(PatientName="Corrected"))
    assert corrected.outcome == storage_pb2.STORE_OUTCOME_NEW_VERSION
    assert (await storage.call("GetStudy", name=STUDY)).study.legal_hold.reason == "case 7"


async def test_a_hold_is_set_once_told_once_and_audited(storage: Storage) -> None:
    await storage.store_one(ct())
    first = await hold(storage)
    assert await hold(storage) == first
    renamed = await hold(storage, "case 8")
    assert (renamed.legal_hold.reason, renamed.legal_hold.set_time) == ("case 8", first.legal_hold.set_time)
    await release(storage)
    await release(storage)
    kind = storage_pb2.Change.KIND_STUDY_CHANGED
    assert [change.name for change in await storage.changes(2, count=3)] == [STUDY] * 3
    assert {change.kind for change in await storage.changes(2, count=3)} == {kind}
    entries = await storage.service._database.read(lambda c: audit_entries(c, before=0, limit=10))
    assert [(entry["action"], entry["reason"]) for entry in reversed(entries)] == [
        ("HOLD", "case 7"),
        ("HOLD", "case 8"),
        ("RELEASE", ""),
    ]


async def test_an_update_of_anything_else_is_refused(storage: Storage) -> None:
    await storage.store_one(ct())
    for paths in ([], ["patient_name"], ["legal_hold", "patient_name"]):
        with pytest.raises(InvalidArgument) as caught:
            await storage.call("UpdateStudy", study={"name": STUDY}, update_mask={"paths": paths})
        assert caught.value.where == "update_mask"
    with pytest.raises(FailedPrecondition, match="changed"):
        await hold(storage, etag="older")
    with pytest.raises(NotFound):
        await hold(storage, name="studies/1.2.9")
    with pytest.raises(InvalidArgument):
        await hold(storage, "x" * 501)
