"""A real storage service on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imaging.rpc.channel import open_channel
from imaging.settings import Settings
from imaging.storage.v1 import storage_service_pb2_grpc as pb_grpc
from storage_svc.service import build
from tests.database.databases import Databases
from tests.storage.storage_under_test import Storage


@pytest.fixture
async def start(tmp_path: Path, databases: Databases) -> AsyncIterator[Any]:
    """Starts services, on each kind of database in turn; the same folder can be served again after `stop`."""
    running: list[Storage] = []

    async def run(folder: Path | None = None, **settings: Any) -> Storage:
        folder = folder or tmp_path / "data"
        own = {"address": "127.0.0.1:0", "quiet_time_seconds": 3600, **settings}
        given = {"data_dir": folder, "database": databases.settings(folder), "storage": own}
        service = build(Settings.model_validate(given))
        port = await service.start()
        channel = open_channel(f"127.0.0.1:{port}")
        storage = Storage(pb_grpc.StorageServiceStub(channel), channel, service, folder, f"127.0.0.1:{port}")
        running.append(storage)
        return storage

    async def stop(storage: Storage) -> None:
        running.remove(storage)
        await storage.channel.close()
        await storage.service.stop(timedelta(seconds=2))

    run.stop = stop  # type: ignore[attr-defined]
    yield run
    for storage in [*running]:
        await stop(storage)


@pytest.fixture
async def storage(start: Any) -> Storage:
    """One service."""
    return await start()
