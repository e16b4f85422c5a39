"""What is kept of an instance: the bytes that are served, what contradicts it, and its versions."""

from __future__ import annotations

from typing import Any

from imaging.storage.v1 import storage_admin_pb2
from tests.storage.storage_under_test import Storage

INSTANCE = "studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
OTHER_PIXELS = bytes(128 * 128 * 2)


async def served(storage: Storage, name: str = INSTANCE) -> bytes:
    """The bytes of one instance, as everybody gets them."""
    messages = await storage.stream("RetrieveInstances", name=name)
    return b"".join(message.data.content for message in messages)


async def quarantined(storage: Storage, parent: str = "", **fields: Any) -> list[storage_admin_pb2.QuarantinedInstance]:
    """Newest first."""
    answer = await storage.admin("ListQuarantinedInstances", parent=parent, **fields)
    return list(answer.quarantined_instances)


async def versions(storage: Storage, parent: str = INSTANCE, **fields: Any) -> list[storage_admin_pb2.InstanceVersion]:
    """Newest first."""
    answer = await storage.admin("ListInstanceVersions", parent=parent, **fields)
    return list(answer.instance_versions)


async def content_of(storage: Storage, name: str) -> bytes:
    """The bytes of one in quarantine or of a version."""
    messages = await storage.admin("ReadObject", name=name)
    assert messages[0].HasField("header")
    assert messages[-1].HasField("finish")
    return b"".join(message.data.content for message in messages)
