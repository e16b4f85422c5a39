"""Quarantine: what contradicts a stored instance is listed with its reason and can be looked at."""

from __future__ import annotations

from typing import Any

import pytest

from imaging.errors import DataLoss, InvalidArgument, NotFound
from imaging.storage.v1 import storage_admin_pb2
from tests.storage.kept_objects import INSTANCE, OTHER_PIXELS, content_of, quarantined
from tests.storage.storage_under_test import Storage, ct

Reason = storage_admin_pb2.QuarantinedInstance.Reason
CONTRADICTIONS: list[tuple[dict[str, Any], Any]] = [
    ({"study": "1.2.4"}, Reason.REASON_OTHER_STUDY),
    ({"series": "1.2.3.2"}, Reason.REASON_OTHER_SERIES),
    ({"PatientID": "another"}, Reason.REASON_OTHER_PATIENT),
    ({"pixels": OTHER_PIXELS}, Reason.REASON_OTHER_CONTENT),
]


@pytest.mark.parametrize(("other", "reason"), CONTRADICTIONS, ids=["study", "series", "patient", "pixels"])
async def test_what_contradicts_is_listed_with_its_reason_and_its_bytes_come_back(
    storage: Storage, other: dict[str, Any], reason: Any
) -> None:
    stored = (await storage.store_one(ct(), source="FIRST")).instance
    intruder = ct(**other)
    await storage.store(intruder, source="SECOND")
    (found,) = await quarantined(storage)
    assert found.reason == reason
    study, series = other.get("study", "1.2.3"), other.get("series", "1.2.3.1")
    assert found.claimed_instance == f"studies/{study}/series/{series}/instances/1.2.3.1.1"
    assert (found.object.name, found.object.instance, found.object.version) == (found.name, INSTANCE, 0)
    assert (found.object.size_bytes, found.object.source) == (len(intruder), "SECOND")
    assert found.object.data_set_sha256 != stored.data_set_sha256
    assert (await storage.admin("GetQuarantinedInstance", name=found.name)).quarantined_instance == found
    assert await content_of(storage, found.name) == intruder
    assert "another" not in str(found)  # UIDs and digests, nothing of the patient


async def test_the_list_comes_in_pages_newest_first_and_each_level_has_its_own(storage: Storage) -> None:
    uids = [f"1.2.3.1.{number}" for number in range(1, 8)]
    await storage.store(*(ct(sop=uid) for uid in uids), ct("1.4", "1.4.1", "1.4.1.1"))
    for uid in uids:
        await storage.store(ct(sop=uid, pixels=OTHER_PIXELS))
    await storage.store(ct("1.4", "1.4.1", "1.2.3.1.1"))  # names another study than the stored one
    found, token = [], ""
    while True:
        page = await storage.admin("ListQuarantinedInstances", page_size=3, page_token=token)
        assert len(page.quarantined_instances) <= 3
        found += page.quarantined_instances
        token = page.next_page_token
        if not token:
            break
    assert [item.claimed_instance.rpartition("/")[2] for item in found] == ["1.2.3.1.1", *reversed(uids)]
    assert len({item.name for item in found}) == 8
    assert len(await quarantined(storage, "studies/1.2.3")) == 8
    assert [item.name for item in await quarantined(storage, "studies/1.4")] == [found[0].name]
    assert len(await quarantined(storage, INSTANCE)) == 2
    assert await quarantined(storage, "studies/1.9") == []


async def test_names_and_tokens_that_are_none_are_refused(storage: Storage) -> None:
    await storage.store(ct())
    for parent in ("studies", "studies/../x", "quarantinedInstances/1"):
        with pytest.raises(InvalidArgument):
            await quarantined(storage, parent)
    with pytest.raises(InvalidArgument):
        await quarantined(storage, page_token="none of ours")
    for name in ("", "quarantinedInstances/", "quarantinedInstances/%", "quarantinedInstances/../1", INSTANCE):
        with pytest.raises(InvalidArgument):
            await storage.admin("GetQuarantinedInstance", name=name)
        with pytest.raises(InvalidArgument):
            await storage.admin("ReadObject", name=name)
    for name in ("quarantinedInstances/abc", f"{INSTANCE}/versions/2", "studies/1/series/2/instances/3/versions/1"):
        with pytest.raises(NotFound):
            await storage.admin("ReadObject", name=name)


async def test_damaged_bytes_of_a_quarantined_instance_are_not_given_as_whole(storage: Storage) -> None:
    await storage.store(ct())
    await storage.store(ct(pixels=OTHER_PIXELS))
    (found,) = await quarantined(storage)
    path = storage.folder / "storage" / "objects" / found.object.object_key
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataLoss):
        await storage.admin("ReadObject", name=found.name)
    await storage.admin("VerifyObjects")
    (found,) = await quarantined(storage)
    assert found.object.condition == storage_admin_pb2.OBJECT_CONDITION_DIFFERING
