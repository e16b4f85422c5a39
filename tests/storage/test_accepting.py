"""Accepting what is quarantined: it is served where it says that it belongs, and what it replaces is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from imaging.errors import NotFound
from imaging.storage.v1 import storage_admin_pb2, storage_pb2, storage_service_pb2
from storage_svc.schema import KEPT_OBJECT
from tests.storage.decisions import OTHER, STUDY, accept, audited, contradict, restore
from tests.storage.kept_objects import INSTANCE, OTHER_PIXELS, content_of, quarantined, served, versions
from tests.storage.storage_under_test import Storage, ct, origin

Kind = storage_pb2.Change.Kind
Format = storage_service_pb2.RetrieveMetadataRequest.Format
Reason = storage_admin_pb2.InstanceVersion.Reason
MOVED = "studies/1.4/series/1.4.1/instances/1.2.3.1.1"


async def patients(storage: Storage, name: str) -> list[str]:
    """Patient IDs in the metadata of a study or series, of which segments are written."""
    found = []
    for _ in range(2):  # as the service answers at once, and once the segments were brought up
        messages = await storage.stream("RetrieveMetadata", name=name, format=Format.FORMAT_DICOM_JSON)
        found.append([json.loads(message.content)["00100020"]["Value"][0] for message in messages])
        await storage.service.segments.catch_up()
    assert found[0] == found[1]
    return found[0]


def kinds(changes: Sequence[storage_pb2.Change]) -> list[Any]:
    return [change.kind for change in changes]


async def test_an_accepted_instance_is_served_and_the_one_before_stays_as_a_version(storage: Storage) -> None:
    name = await contradict(storage)
    before = await storage.complete("1.2.3")
    instance = await accept(storage, name, reason="wrong pixels at first")
    assert (instance.name, instance.version, instance.size_bytes) == (INSTANCE, 2, len(OTHER))
    assert await served(storage) == OTHER
    found = await versions(storage)
    assert [(item.object.version, item.object.served, item.reason) for item in found] == [
        (2, True, Reason.REASON_ACCEPTED),
        (1, False, Reason.REASON_STORED),
    ]
    assert await content_of(storage, f"{INSTANCE}/versions/1") == ct()
    assert await quarantined(storage) == []
    assert (await storage.call("GetInstance", name=INSTANCE)).instance == instance
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.instance_count, study.size_bytes, study.manifest.open) == (1, len(OTHER), True)
    after = await storage.complete("1.2.3")
    assert (after.version, after.instance_count) == (before.version + 1, 1)
    changes = (await storage.changes(4, count=2))[:2]
    assert sorted(kinds(changes)) == [Kind.KIND_INSTANCE_STORED, Kind.KIND_CONFLICT_RESOLVED]
    assert {change.name for change in changes} == {INSTANCE, name}
    assert await audited(storage) == [("ACCEPT", f"{name} {INSTANCE}", "wrong pixels at first")]
    (frame,) = await storage.stream("RetrieveFrames", series=f"{STUDY}/series/1.2.3.1")
    assert frame.data.content == OTHER_PIXELS
    last = (await storage.admin("VerifyObjects"))[-1]
    assert (last.objects_done, list(last.damaged)) == (2, [])


async def test_another_patient_becomes_that_of_the_study_when_it_is_accepted(storage: Storage) -> None:
    name = await contradict(storage, ct(PatientID="right"), ct(PatientID="wrong"))
    assert await patients(storage, STUDY) == ["wrong"]
    await accept(storage, name)
    assert (await storage.call("GetStudy", name=STUDY)).study.patient_id == "right"
    found = await storage.call("SearchStudies", keys=[{"keyword": "PatientID", "value": "right"}])
    assert [study.name for study in found.studies] == [STUDY]
    assert await patients(storage, STUDY) == ["right"]
    assert (await storage.store_one(ct(PatientID="right"))).outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED


async def test_an_accepted_instance_moves_to_the_study_that_it_names_and_back_by_its_first_version(
    storage: Storage,
) -> None:
    moved = ct("1.4", "1.4.1", "1.2.3.1.1", PatientID="other")
    name = await contradict(storage, moved)
    await storage.store_one(ct(sop="1.2.3.1.2"))
    await storage.complete("1.2.3")
    assert len(await patients(storage, STUDY)) == 2
    assert (await accept(storage, name)).name == MOVED
    assert await served(storage, MOVED) == moved
    with pytest.raises(NotFound):
        await storage.call("GetInstance", name=INSTANCE)
    assert (await storage.call("GetStudy", name=STUDY)).study.instance_count == 1
    new = (await storage.call("GetStudy", name="studies/1.4")).study
    assert (new.instance_count, new.series_count, new.patient_id) == (1, 1, "other")
    assert await patients(storage, "studies/1.4") == ["other"]
    assert len(await patients(storage, STUDY)) == 1
    assert (await storage.complete("1.2.3")).version == 2
    assert (await storage.complete("1.4")).version == 1
    (gone,) = await storage.changes(count=1, kinds=[Kind.KIND_INSTANCE_DELETED])
    assert gone.name == INSTANCE
    assert [item.name for item in await versions(storage, MOVED)] == [f"{MOVED}/versions/{n}" for n in (2, 1)]

    back = await restore(storage, 1, MOVED)
    assert (back.name, back.version) == (INSTANCE, 1)
    assert await served(storage) == ct()
    assert (await storage.call("GetStudy", name=STUDY)).study.instance_count == 2
    with pytest.raises(NotFound):  # it has lost its only instance
        await storage.call("GetStudy", name="studies/1.4")
    assert [study.name for study in (await storage.call("SearchStudies")).studies] == [STUDY]
    await storage.call("DeleteStudy", name=STUDY, grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    assert storage.objects() == []  # also the version that names another study
    count = select(func.count()).select_from(KEPT_OBJECT)
    assert await storage.service._database.read(lambda c: c.execute(count).scalar_one()) == 0


async def test_an_accepted_instance_moves_to_another_series_of_its_study(storage: Storage) -> None:
    name = await contradict(storage, ct(series="1.2.3.2"))
    moved = f"{STUDY}/series/1.2.3.2/instances/1.2.3.1.1"
    assert (await accept(storage, name)).name == moved
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.instance_count, study.series_count) == (1, 1)
    found = await storage.call("SearchSeries", parent=STUDY)
    assert [series.name for series in found.series] == [f"{STUDY}/series/1.2.3.2"]
    assert (await restore(storage, 1, moved)).name == INSTANCE
    assert (await storage.call("GetStudy", name=STUDY)).study.series_count == 1


async def test_what_is_left_of_a_study_after_a_move_is_deleted_if_all_of_it_was(storage: Storage) -> None:
    name = await contradict(storage, ct("1.4", "1.4.1", "1.2.3.1.1"))
    deleted = f"{STUDY}/series/1.2.3.1/instances/1.2.3.1.2"
    await storage.store_one(ct(sop="1.2.3.1.2"))
    await storage.call("DeleteInstance", name=deleted)
    await accept(storage, name)
    with pytest.raises(NotFound):
        await storage.call("GetStudy", name=STUDY)
    await storage.call("RestoreInstance", name=deleted)
    assert (await storage.call("GetStudy", name=STUDY)).study.instance_count == 1


async def test_what_is_accepted_under_a_uid_that_is_free_by_now_is_stored_anew(storage: Storage) -> None:
    name = await contradict(storage, ct("1.4", "1.4.1", "1.2.3.1.1"))
    await storage.call("DeleteStudy", name=STUDY, grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    (found,) = await quarantined(storage)
    assert found.object.instance == ""
    instance = await accept(storage, name)
    assert (instance.name, instance.version) == (MOVED, 1)
    assert (await storage.call("GetStudy", name="studies/1.4")).study.manifest.open


async def test_accepting_brings_a_deleted_instance_back_with_the_other_content(storage: Storage) -> None:
    name = await contradict(storage)
    await storage.call("DeleteStudy", name=STUDY)
    await accept(storage, name)
    assert await served(storage) == OTHER
    assert (await storage.call("GetStudy", name=STUDY)).study.instance_count == 1


async def test_a_result_of_ours_stays_one_whatever_is_accepted_for_it(storage: Storage) -> None:
    await storage.store_one(ct(), origin=origin())
    await storage.store(OTHER)
    (found,) = await quarantined(storage)
    assert (await accept(storage, found.name)).origin == origin()
    assert not (await storage.call("GetStudy", name=STUDY)).study.manifest.open
