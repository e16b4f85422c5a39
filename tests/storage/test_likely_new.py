"""On a stream that brings new instances the index is not asked before an object is written; all ends as if it were."""

from __future__ import annotations

import pytest

from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from tests.storage.storage_under_test import Storage, ct, origin, whole

_NEW = ct("1.9", "1.9.1", "1.9.1.1")


async def one_by_one(storage: Storage, *contents: bytes) -> list[pb.StoreInstancesResponse]:
    """The outcomes on one stream, where each is sent when the one before has its outcome."""
    call = storage.stub.StoreInstances(timeout=30)
    answers: list[pb.StoreInstancesResponse] = []
    for number, content in enumerate(contents):
        await call.write(whole(str(number), content))
        answers.append(await call.read())
    await call.done_writing()
    return answers


@pytest.fixture
def asked(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The UIDs that the index is asked for."""
    uids: list[str] = []
    find = storage.service._ingest._lookup.find

    async def noted(uid: str) -> object:
        uids.append(uid)
        return await find(uid)

    monkeypatch.setattr(storage.service._ingest._lookup, "find", noted)
    return uids


async def test_only_the_first_of_many_new_instances_is_asked_for(storage: Storage, asked: list[str]) -> None:
    news = [ct(sop=f"1.2.3.1.{number}") for number in range(1, 5)]
    for answer in await one_by_one(storage, *news):
        assert answer.stored.outcome == storage_pb2.STORE_OUTCOME_STORED
    assert asked == ["1.2.3.1.1"]


@pytest.mark.parametrize(
    ("again", "outcome"),
    [
        (ct(), storage_pb2.STORE_OUTCOME_ALREADY_STORED),
        (ct(PatientName="Corrected^Name"), storage_pb2.STORE_OUTCOME_NEW_VERSION),
        (ct(PatientID="another"), None),
    ],
    ids=["same", "corrected", "contradiction"],
)
async def test_what_is_known_is_judged_as_ever_and_leaves_no_object_in_vain(
    storage: Storage, asked: list[str], again: bytes, outcome: int | None
) -> None:
    await storage.store_one(ct())
    asked.clear()
    first, second, third = await one_by_one(storage, _NEW, again, again)
    assert first.stored.outcome == storage_pb2.STORE_OUTCOME_STORED
    if outcome is None:
        assert second.HasField("rejected")
        assert third.HasField("rejected")
    else:
        assert second.stored.outcome == outcome
        assert third.stored.outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED
    # One write in vain; after it the stream asks again.
    assert asked == ["1.9.1.1", "1.2.3.1.1", "1.2.3.1.1"]
    kept = 2 if outcome == storage_pb2.STORE_OUTCOME_ALREADY_STORED else 3
    assert len(storage.objects()) == kept


async def test_a_deleted_instance_comes_back_after_a_new_one(storage: Storage) -> None:
    await storage.store_one(ct())
    await storage.call("DeleteStudy", name="studies/1.2.3")
    _, second = await one_by_one(storage, _NEW, ct())
    assert second.stored.outcome == storage_pb2.STORE_OUTCOME_RESTORED
    assert len(storage.objects()) == 2


async def test_a_purged_result_of_ours_keeps_its_origin_after_a_new_one(storage: Storage) -> None:
    await storage.store_one(ct(), origin=origin())
    await storage.call("DeleteStudy", name="studies/1.2.3", grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    _, second = await one_by_one(storage, _NEW, ct())
    assert second.stored.outcome == storage_pb2.STORE_OUTCOME_STORED
    assert second.stored.instance.origin.kind == storage_pb2.Origin.KIND_DERIVED
    assert len(storage.objects()) == 2
