"""A pipeline service between scripted services, on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from imaging.database import Database
from imaging.settings import load_settings
from pipeline_svc.schema import TABLES
from pipeline_svc.service import build
from tests.alerting_recipe import alerting_recipe
from tests.database.databases import Databases
from tests.pipeline.alert_receiver import SECRET, Receiver
from tests.pipeline.alerted_runs import RULE
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


@pytest.fixture
async def database(databases: Databases, tmp_path: Path) -> AsyncIterator[Database]:
    """The pipeline's, without a service."""
    opened = Database.open(databases.access(tmp_path), TABLES)
    yield opened
    await opened.close()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """The secret of a webhook."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def start_alerting(start_pipeline: Start, secret_file: Path, tmp_path: Path) -> Start:
    """Starts the pipeline with a recipe that raises alerts, and the webhook `ward` that tells a receiver of them."""
    recipes = tmp_path / "recipes"
    recipes.mkdir()

    async def start(
        receiver: Receiver, *, analyses: Iterable[str] = ("image-statistics",), **webhook: object
    ) -> PipelineClient:
        (recipes / "alerts.yaml").write_text(alerting_recipe(RULE, analyses=analyses))
        ward = {"url": receiver.url, "secret_file": secret_file, **webhook}
        return await start_pipeline(recipes_dir=recipes, webhooks={"ward": ward}, webhook_again_seconds=0.05)

    return start
