"""Real storage and processing services in the test's process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imaging.client.storage import StorageClient, Upload
from imaging.processing.v1 import processing_service_pb2_grpc
from imaging.rpc.channel import open_channel
from tests.ct_series import CtSeries
from tests.installation.in_process import services_in_process


@dataclass(frozen=True, slots=True)
class Both:
    """A client of each service."""

    storage: StorageClient
    processing: Any

    async def send(self, series: CtSeries) -> None:
        """Store a series."""
        uploads = [Upload(uid, content) for uid, content in series.instances.items()]
        assert all([result.error is None async for result in self.storage.store(uploads)])


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Both]:
    async with (
        services_in_process(tmp_path, "storage", "processing") as settings,
        open_channel(settings.storage.address) as storage,
        open_channel(settings.processing.address) as processing,
    ):
        client = StorageClient(storage)
        yield Both(client, processing_service_pb2_grpc.ProcessingServiceStub(processing))
        await client.close()
