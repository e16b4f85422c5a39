"""What a stage worked on, as one digest: the ground of the UIDs of everything that it makes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from imaging.client.storage import StorageClient
from imaging.storage.v1 import storage_pb2


async def input_digest(storage: StorageClient, series: str, sop_instance_uids: Collection[str] = ()) -> str:
    """SHA-256 (lower-case hex) over UID and data set digest of the instances, sorted by UID; none named: of all."""
    wanted = set(sop_instance_uids)
    found = [item async for item in storage.search_instances(series)]
    return digest_of(item for item in found if not wanted or item.sop_instance_uid in wanted)


def digest_of(instances: Iterable[storage_pb2.Instance]) -> str:
    """The same of instances that are at hand."""
    digest = hashlib.sha256()
    for instance in sorted(instances, key=lambda item: item.sop_instance_uid):
        digest.update(f"{instance.sop_instance_uid} {instance.data_set_sha256}\n".encode())
    return digest.hexdigest()
