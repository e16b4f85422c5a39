from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imaging.settings import load_settings
from pipeline_svc.service import build
from tests.database.databases import Databases
from tests.pipeline.pipeline_client import PipelineClient, Start
from tests.pipeline.scripted_services import Scripted, scripted_services


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with scripted_services() as services:
        yield services


@pytest.fixture
async def start_pipeline(scripted: Scripted, tmp_path: Path, databases: Databases) -> AsyncIterator[Start]:
    """Starts the pipeline service on the same data folder, with settings.

    Each start ends those before, or goes on beside them as another replica.
    """
    running: list[PipelineClient] = []

    async def start(*, beside: bool = False, **settings: object) -> PipelineClient:
        while running and not beside:
            await running.pop().stop()
        overrides: dict[str, object] = {f"{name}.address": address for name, address in scripted.addresses.items()}
        overrides |= {f"pipeline.{name}": value for name, value in settings.items()}
        overrides |= {"pipeline.address": "127.0.0.1:0", "data_dir": tmp_path, **databases.overrides(tmp_path)}
        client = await PipelineClient.start(build(load_settings(env={}, overrides=overrides)))
        running.append(client)
        return client

    yield start
    while running:
        await running.pop().stop()
