"""What a person decides over quarantined instances and versions: served, kept, audited, and told to everybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any

import pydicom
import pytest
from sqlalchemy import func, select, update

from imaging.errors import DataLoss, FailedPrecondition, ImagingError, InvalidArgument, NotFound, OnHold
from imaging.storage.v1 import storage_admin_pb2, storage_pb2, storage_service_pb2
from storage_svc.audit import audit_entries
from storage_svc.schema import KEPT_OBJECT
from tests.storage.storage_under_test import Storage, ct, origin
from tests.storage.test_legal_hold import hold
from tests.storage.test_quarantine import INSTANCE, OTHER_PIXELS, content_of, quarantined
from tests.storage.test_versions import versions

Kind = storage_pb2.Change.Kind
Format = storage_service_pb2.RetrieveMetadataRequest.Format
Reason = storage_admin_pb2.InstanceVersion.Reason
STUDY = "studies/1.2.3"
OTHER = ct(pixels=OTHER_PIXELS)
MOVED = "studies/1.4/series/1.4.1/instances/1.2.3.1.1"


async def served(storage: Storage, name: str = INSTANCE) -> bytes:
    messages = await storage.stream("RetrieveInstances", name=name)
    return b"".join(message.data.content for message in messages)


async def contradict(storage: Storage, content: bytes = OTHER, first: bytes | None = None) -> str:
    """The name in quarantine of what contradicts the first."""
    await storage.store_one(first or ct())
    (answer,) = await storage.store(content)
    assert answer.HasField("rejected")
    (found,) = await quarantined(storage)
    return found.name


async def accept(storage: Storage, name: str, **fields: Any) -> storage_pb2.Instance:
    return (await storage.admin("AcceptQuarantinedInstance", name=name, **fields)).instance


async def restore(storage: Storage, version: int, instance: str = INSTANCE, **fields: Any) -> storage_pb2.Instance:
    name = f"{instance}/versions/{version}"
    return (await storage.admin("RestoreInstanceVersion", name=name, **fields)).instance


async def audited(storage: Storage) -> list[tuple[str, str, str]]:
    entries = await storage.service._database.read(lambda c: audit_entries(c, before=0, limit=20))
    return [(entry["action"], entry["name"], entry["reason"]) for entry in reversed(entries)]


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


async def test_a_discarded_instance_is_gone_with_its_bytes_and_may_come_again(storage: Storage) -> None:
    name = await contradict(storage)
    assert len(storage.objects()) == 2
    await storage.admin("DiscardQuarantinedInstance", name=name, reason="a test image")
    assert len(storage.objects()) == 1
    assert await served(storage) == ct()
    assert await quarantined(storage) == []
    for method in ("GetQuarantinedInstance", "ReadObject"):
        with pytest.raises(NotFound):
            await storage.admin(method, name=name)
    assert await audited(storage) == [("DISCARD", f"{name} {INSTANCE}", "a test image")]
    changes = await storage.changes(3, count=1)
    assert (changes[0].kind, changes[0].name) == (Kind.KIND_CONFLICT_RESOLVED, name)
    await storage.store(OTHER)
    (again,) = await quarantined(storage)
    assert again.name != name


async def test_a_decision_that_is_sent_again_gets_the_same_answer_and_another_one_is_refused(storage: Storage) -> None:
    name = await contradict(storage)
    first = await accept(storage, name)
    assert await accept(storage, name) == first
    with pytest.raises(FailedPrecondition, match="accepted already"):
        await storage.admin("DiscardQuarantinedInstance", name=name)
    await storage.store(ct(pixels=bytes(reversed(pydicom.dcmread(BytesIO(ct())).PixelData))))
    (other,) = await quarantined(storage)
    for _ in range(2):
        await storage.admin("DiscardQuarantinedInstance", name=other.name)
    with pytest.raises(FailedPrecondition, match="discarded already"):
        await accept(storage, other.name)
    assert [action for action, _, _ in await audited(storage)] == ["ACCEPT", "DISCARD"]
    await storage.call("DeleteStudy", name=STUDY, grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    with pytest.raises(NotFound, match="purged"):
        await accept(storage, name)


async def test_an_older_version_is_served_again_and_numbers_are_never_used_twice(storage: Storage) -> None:
    contents = [ct(PatientName=name) for name in ("First", "Second", "Third", "Fourth")]
    for content in contents[:3]:
        await storage.store_one(content)
    manifest = await storage.complete("1.2.3")
    instance = await restore(storage, 1, reason="the corrections were wrong")
    assert (instance.version, instance.name) == (1, INSTANCE)
    assert await served(storage) == contents[0]
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.patient_name, study.manifest.open) == ("First", True)
    assert (await storage.complete("1.2.3")).version == manifest.version + 1
    assert await restore(storage, 1) == instance  # nothing more happens
    assert await audited(storage) == [("RESTORE_VERSION", f"{INSTANCE}/versions/1", "the corrections were wrong")]
    assert (await storage.store_one(contents[3])).instance.version == 4
    found = await versions(storage)
    assert [(item.object.version, item.object.served) for item in found] == [
        (4, True),
        (3, False),
        (2, False),
        (1, False),
    ]
    assert (await restore(storage, 3)).version == 3
    assert await served(storage) == contents[2]


async def test_a_decision_on_what_has_changed_since_is_refused(storage: Storage) -> None:
    name = await contradict(storage)
    etag = (await storage.call("GetInstance", name=INSTANCE)).instance.etag
    await storage.store_one(ct(PatientName="Corrected"))
    for decide in (accept(storage, name, etag=etag), restore(storage, 1, etag=etag)):
        with pytest.raises(FailedPrecondition, match="changed since"):
            await decide
    assert len(await quarantined(storage)) == 1
    etag = (await storage.call("GetInstance", name=INSTANCE)).instance.etag
    etag = (await restore(storage, 1, etag=etag)).etag
    assert (await accept(storage, name, etag=etag)).version == 3


async def test_a_held_study_loses_nothing_and_may_get_another_version(storage: Storage) -> None:
    name = await contradict(storage)
    await storage.store(ct("1.4", "1.4.1", "1.2.3.1.1"))
    (leaving,) = await quarantined(storage, "studies/1.4")
    await hold(storage)
    for quarantined_name in (name, leaving.name):
        with pytest.raises(OnHold):
            await storage.admin("DiscardQuarantinedInstance", name=quarantined_name)
    with pytest.raises(OnHold):
        await accept(storage, leaving.name)
    assert len(await quarantined(storage)) == 2
    assert (await accept(storage, name)).version == 2
    assert (await restore(storage, 1)).version == 1
    assert len(storage.objects()) == 3


async def test_damaged_bytes_are_never_served_by_a_decision(storage: Storage) -> None:
    name = await contradict(storage)
    await storage.store_one(ct(PatientName="Corrected"))
    for path in storage.objects():
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    for decide in (accept(storage, name), restore(storage, 1)):
        with pytest.raises(DataLoss):
            await decide
    await storage.admin("VerifyObjects")
    for decide in (accept(storage, name), restore(storage, 1)):
        with pytest.raises(DataLoss):
            await decide
    assert len(await quarantined(storage)) == 1
    assert list((storage.folder / "storage" / "objects" / ".spool").iterdir()) == []
    await storage.admin("DiscardQuarantinedInstance", name=name)


async def test_a_version_without_a_checksum_is_proven_by_its_digest(storage: Storage) -> None:
    """The first release kept no checksum of what it had replaced."""
    await storage.store_one(ct())
    await storage.store_one(ct(PatientName="Corrected"))
    forget = update(KEPT_OBJECT).where(KEPT_OBJECT.c.version == 1).values(object_crc32c=None, piece_checksums=None)
    await storage.service._database.write(lambda c: c.execute(forget))
    assert (await restore(storage, 1)).version == 1
    assert await served(storage) == ct()
    assert await content_of(storage, f"{INSTANCE}/versions/1") == ct()


async def test_deleted_and_unknown_ones_and_long_reasons_are_refused(storage: Storage) -> None:
    name = await contradict(storage)
    for method in ("AcceptQuarantinedInstance", "DiscardQuarantinedInstance"):
        with pytest.raises(NotFound):
            await storage.admin(method, name="quarantinedInstances/abc")
        for wrong in ("", "abc", INSTANCE, f"{name}_"):
            with pytest.raises(InvalidArgument):
                await storage.admin(method, name=wrong)
        with pytest.raises(InvalidArgument, match="501"):
            await storage.admin(method, name=name, reason="x" * 501)
    with pytest.raises(NotFound):
        await restore(storage, 2)
    for wrong in (INSTANCE, f"{INSTANCE}/versions/0", f"{INSTANCE}/versions/x", f"{STUDY}/versions/1", name):
        with pytest.raises(InvalidArgument):
            await storage.admin("RestoreInstanceVersion", name=wrong)
    await storage.call("DeleteInstance", name=INSTANCE)
    with pytest.raises(FailedPrecondition, match="deleted"):
        await restore(storage, 1)
    assert len(await quarantined(storage)) == 1


async def outcomes(*decisions: Any) -> list[str]:
    found = await asyncio.gather(*decisions, return_exceptions=True)
    for outcome in found:
        assert not isinstance(outcome, BaseException) or isinstance(outcome, ImagingError), outcome
    return sorted(type(outcome).__name__ for outcome in found)


async def test_of_two_people_who_decide_at_the_same_time_one_wins(storage: Storage) -> None:
    await storage.store(*(ct(sop=f"1.2.3.1.{number}") for number in range(12)))
    for number in range(12):
        await storage.store(ct(sop=f"1.2.3.1.{number}", pixels=OTHER_PIXELS))
    accepted = 0
    for item in await quarantined(storage):
        discarding = (storage.admin("DiscardQuarantinedInstance", name=item.name) for _ in range(2))
        found = await outcomes(accept(storage, item.name), *discarding, accept(storage, item.name))
        assert found.count("FailedPrecondition") == 2
        is_accepted = found.count("Instance") == 2
        assert is_accepted or found.count("DiscardQuarantinedInstanceResponse") == 2
        assert await served(storage, item.claimed_instance) == (
            ct(sop=item.claimed_instance.rpartition("/")[2], **({"pixels": OTHER_PIXELS} if is_accepted else {}))
        )
        accepted += is_accepted
    assert len(storage.objects()) == 12 + accepted
    assert len(await audited(storage)) == 12
    await storage.service.sweeper.remove_orphans(timedelta(0))
    assert (await storage.admin("VerifyObjects"))[-1].objects_done == 12 + accepted


async def test_decisions_beside_corrections_and_deletions_leave_every_version_with_a_number_of_its_own(
    storage: Storage,
) -> None:
    await storage.store_one(ct())
    for number in range(6):
        await storage.store(ct(pixels=bytes([number]) * len(OTHER_PIXELS)))
    names = [item.name for item in await quarantined(storage)]

    async def correct() -> None:
        for number in range(6):
            await storage.store(ct(PatientName=f"Corrected{number}"))

    async def go_back() -> None:
        for _ in range(6):
            await outcomes(restore(storage, 1))

    async def delete_and_restore() -> None:
        for method in ("DeleteInstance", "RestoreInstance") * 4:
            await storage.call(method, name=INSTANCE)

    await asyncio.gather(
        *(outcomes(accept(storage, name)) for name in names), correct(), go_back(), delete_and_restore()
    )
    found = await versions(storage)
    numbers = [item.object.version for item in found]
    assert len(set(numbers)) == len(numbers)
    assert sum(item.object.served for item in found) == 1
    (current,) = (item for item in found if item.object.served)
    assert await served(storage) == await content_of(storage, current.name)
    for item in found:
        assert (await restore(storage, item.object.version)).version == item.object.version
        assert await served(storage) == await content_of(storage, item.name)
    study = (await storage.call("GetStudy", name=STUDY)).study
    assert (study.instance_count, study.size_bytes) == (1, len(await served(storage)))
