"""A gateway with its storage, in the test's own process, and how to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from imaging.client.storage import StorageClient, Upload
from imaging.rpc.channel import open_channel
from imaging.settings import Settings
from imaging.storage.v1 import storage_pb2
from tests.installation.in_process import services_in_process


@dataclass
class Site:
    """A running gateway."""

    settings: Settings
    http: httpx.AsyncClient
    """Its base URL is that of DICOMweb."""

    storage: StorageClient

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://{self.settings.gateway.http_address}"

    @property
    def dicom_web(self) -> str:
        """Base URL of DICOMweb."""
        return f"{self.url}/dicom-web"

    async def store(self, *contents: bytes) -> list[storage_pb2.Instance]:
        """The instances, stored without the gateway, in the order given."""
        found: dict[str, storage_pb2.Instance] = {}
        async for result in self.storage.store([Upload(str(n), content) for n, content in enumerate(contents)]):
            if result.error is not None:
                raise result.error
            assert result.instance is not None
            found[result.upload_id] = result.instance
        return [found[str(number)] for number in range(len(contents))]


@asynccontextmanager
async def running_site(data_dir: Path, overrides: dict[str, object] | None = None) -> AsyncIterator[Site]:
    """Storage and gateway on free ports."""
    async with services_in_process(data_dir, "storage", "gateway", overrides=overrides) as settings:
        channel = open_channel(settings.storage.address, settings.channel())
        storage = StorageClient(channel)
        base = f"http://{settings.gateway.http_address}/dicom-web"
        try:
            async with httpx.AsyncClient(base_url=base, timeout=30) as client:
                yield Site(settings, client, storage)
        finally:
            await storage.close()
            await channel.close()
