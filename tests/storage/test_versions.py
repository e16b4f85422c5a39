"""Versions of an instance: the older ones are listed, can be looked at and be served again."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from imaging.errors import InvalidArgument, NotFound
from imaging.storage.v1 import storage_admin_pb2, storage_pb2
from storage_svc.schema import KEPT_OBJECT
from tests.storage.decisions import STUDY, audited, restore
from tests.storage.kept_objects import INSTANCE, content_of, served, versions
from tests.storage.storage_under_test import Storage, chunks, ct, origin
from tests.storage.test_store_instances import large

Reason = storage_admin_pb2.InstanceVersion.Reason


async def test_all_versions_are_listed_newest_first_and_each_can_be_read(storage: Storage) -> None:
    contents = [ct(PatientName=name) for name in ("First", "Second", "Third")]
    for number, content in enumerate(contents):
        await storage.store_one(content, source=f"SENDER{number}")
    found = await versions(storage)
    assert [version.name for version in found] == [f"{INSTANCE}/versions/{number}" for number in (3, 2, 1)]
    assert [version.object.served for version in found] == [True, False, False]
    assert [version.object.source for version in found] == ["SENDER2", "SENDER1", "SENDER0"]
    assert [version.reason for version in found] == [
        Reason.REASON_CORRECTED,
        Reason.REASON_CORRECTED,
        Reason.REASON_STORED,
    ]
    assert {version.origin.kind for version in found} == {storage_pb2.Origin.KIND_RECEIVED}
    assert [await content_of(storage, version.name) for version in reversed(found)] == contents
    page = await storage.admin("ListInstanceVersions", parent=INSTANCE, page_size=2)
    assert list(page.instance_versions) == found[:2]
    assert await versions(storage, page_size=2, page_token=page.next_page_token) == found[2:]


async def test_versions_of_a_deleted_instance_are_listed_until_it_is_purged(storage: Storage) -> None:
    await storage.store_one(ct(), origin=origin())
    await storage.call("DeleteInstance", name=INSTANCE, grace_period={"seconds": 0})
    (found,) = await versions(storage)
    assert (found.origin.run, found.object.served) == ("runs/1", True)
    await storage.service.sweeper.purge_deleted()
    with pytest.raises(NotFound):
        await versions(storage)


async def test_only_an_instance_has_versions(storage: Storage) -> None:
    await storage.store_one(ct())
    for parent in ("", "studies/1.2.3", "studies/1.2.3/series/1.2.3.1"):
        with pytest.raises(InvalidArgument):
            await versions(storage, parent)
    for parent in ("studies/1.2.3/series/1.2.3.1/instances/9", "studies/1.2.3/series/9/instances/1.2.3.1.1"):
        with pytest.raises(NotFound):
            await versions(storage, parent)


async def test_a_large_object_comes_in_chunks_of_1_mib(storage: Storage) -> None:
    content = large()
    (*_, answer) = await storage.send(chunks("large", content))
    messages = await storage.admin("ReadObject", name=f"{answer.stored.instance.name}/versions/1")
    assert max(len(message.data.content) for message in messages) == 1 << 20
    assert b"".join(message.data.content for message in messages) == content


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


async def test_a_version_without_a_checksum_is_proven_by_its_digest(storage: Storage) -> None:
    """The first release kept no checksum of what it had replaced."""
    await storage.store_one(ct())
    await storage.store_one(ct(PatientName="Corrected"))
    forget = update(KEPT_OBJECT).where(KEPT_OBJECT.c.version == 1).values(object_crc32c=None, piece_checksums=None)
    await storage.service._database.write(lambda c: c.execute(forget))
    assert (await restore(storage, 1)).version == 1
    assert await served(storage) == ct()
    assert await content_of(storage, f"{INSTANCE}/versions/1") == ct()
