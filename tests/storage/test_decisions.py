"""What a person decides over quarantined instances and versions: it counts once, is audited, and loses nothing."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest

from imaging.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, OnHold
from imaging.storage.v1 import storage_pb2
from tests.storage.decisions import OTHER, STUDY, accept, audited, contradict, restore
from tests.storage.kept_objects import INSTANCE, quarantined, served
from tests.storage.storage_under_test import Storage, ct
from tests.storage.test_legal_hold import hold

Kind = storage_pb2.Change.Kind


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
