"""StoreInstances: one outcome an upload, whatever it is."""

from __future__ import annotations

from conftest import Storage, chunks, ct, file_bytes, whole

from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb


async def test_an_instance_is_stored_and_comes_back_bit_exact(storage: Storage) -> None:
    content = ct()
    stored = await storage.store_one(content)
    assert stored.outcome == storage_pb2.STORE_OUTCOME_STORED
    assert stored.instance.name == "studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
    messages = await storage.stream("RetrieveInstances", name=stored.instance.name)
    assert messages[0].data.content == content
    assert messages[0].finish.object_crc32c == stored.instance.object_crc32c
