"""An instance that contradicts a stored one, and what a person decides over it and over versions."""

from __future__ import annotations

from typing import Any

from imaging.storage.v1 import storage_pb2
from storage_svc.lifecycle.audit import audit_entries
from tests.storage.kept_objects import INSTANCE, OTHER_PIXELS, quarantined
from tests.storage.storage_under_test import Storage, ct

STUDY = "studies/1.2.3"
OTHER = ct(pixels=OTHER_PIXELS)


async def contradict(storage: Storage, content: bytes = OTHER, first: bytes | None = None) -> str:
    """The name in quarantine of what contradicts the first."""
    await storage.store_one(first or ct())
    (answer,) = await storage.store(content)
    assert answer.HasField("rejected")
    (found,) = await quarantined(storage)
    return found.name


async def accept(storage: Storage, name: str, **fields: Any) -> storage_pb2.Instance:
    """What is served from then on."""
    return (await storage.admin("AcceptQuarantinedInstance", name=name, **fields)).instance


async def restore(storage: Storage, version: int, instance: str = INSTANCE, **fields: Any) -> storage_pb2.Instance:
    """What is served from then on."""
    name = f"{instance}/versions/{version}"
    return (await storage.admin("RestoreInstanceVersion", name=name, **fields)).instance


async def audited(storage: Storage) -> list[tuple[str, str, str]]:
    """Action, names and reason of each decision, in their order."""
    entries = await storage.service._database.read(lambda c: audit_entries(c, before=0, limit=20))
    return [(entry["action"], entry["name"], entry["reason"]) for entry in reversed(entries)]
