"""What a stage worked on, as one digest: the ground of the UIDs of everything that it makes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from imaging.client.storage import StorageClient


async def input_digest(storage: StorageClient, series: str, sop_instance_uids: Collection[str] = ()) -> str:
    """SHA-256 (lower-case hex) over UID and data set digest of the instances, sorted by UID; none named: of all."""
    wanted = set(sop_instance_uids)
    digest = hashlib.sha256()
    found = [item async for item in storage.search_instances(series)]
    for instance in sorted(found, key=lambda item: item.sop_instance_uid):
        if not wanted or instance.sop_instance_uid in wanted:
            digest.update(f"{instance.sop_instance_uid} {instance.data_set_sha256}\n".encode())
    return digest.hexdigest()
