"""The audit tells who took something away, brought it back or decided over it, and why."""

from __future__ import annotations

import pytest

from imaging.errors import InvalidArgument
from imaging.storage.v1 import storage_admin_pb2
from tests.storage.kept_objects import INSTANCE, OTHER_PIXELS, quarantined
from tests.storage.storage_under_test import Storage, ct
from tests.storage.test_legal_hold import STUDY, hold, release

Action = storage_admin_pb2.AuditEntry.Action


async def test_every_action_is_told_with_its_caller_and_reason_newest_first(storage: Storage) -> None:
    await storage.store(ct())
    names = []
    for number in range(2):
        await storage.store(ct(pixels=bytes([number]) * len(OTHER_PIXELS)))
        (item,) = [item for item in await quarantined(storage) if item.name not in names]
        names.append(item.name)
    await hold(storage)
    await release(storage)
    await storage.admin("AcceptQuarantinedInstance", name=names[0], reason="it is right")
    await storage.admin("DiscardQuarantinedInstance", name=names[1], reason="it is wrong")
    await storage.admin("RestoreInstanceVersion", name=f"{INSTANCE}/versions/1")
    await storage.call("DeleteStudy", name=STUDY, reason="a test")
    await storage.call("RestoreStudy", name=STUDY)
    await storage.call("DeleteStudy", name=STUDY, grace_period={"seconds": 0})
    await storage.service.sweeper.purge_deleted()
    entries = (await storage.admin("ListAuditEntries")).audit_entries
    assert [(entry.action, list(entry.names), entry.reason) for entry in reversed(entries)] == [
        (Action.ACTION_HOLD, [STUDY], "case 7"),
        (Action.ACTION_RELEASE, [STUDY], ""),
        (Action.ACTION_ACCEPT, [names[0], INSTANCE], "it is right"),
        (Action.ACTION_DISCARD, [names[1], INSTANCE], "it is wrong"),
        (Action.ACTION_RESTORE_VERSION, [f"{INSTANCE}/versions/1"], ""),
        (Action.ACTION_DELETE, [STUDY], "a test"),
        (Action.ACTION_RESTORE, [STUDY], ""),
        (Action.ACTION_DELETE, [STUDY], ""),
        (Action.ACTION_PURGE, [STUDY], ""),
    ]
    assert [entry.peer for entry in entries] == ["", *["127.0.0.1"] * 8]
    found, token = [], ""
    while True:
        page = await storage.admin("ListAuditEntries", page_size=4, page_token=token)
        found += page.audit_entries
        token = page.next_page_token
        if not token:
            break
    assert found == list(entries)


async def test_a_token_of_another_list_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidArgument):
        await storage.admin("ListAuditEntries", page_token="none of ours")
