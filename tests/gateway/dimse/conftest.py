"""A storage service and a gateway with real acceptor processes, and what talks to them."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from imaging.client.storage import StorageClient
from imaging.rpc.channel import open_channel
from tests.gateway.dimse.archive import Archive
from tests.installation.in_process import services_in_process

Start = Callable[..., AbstractAsyncContextManager[Archive]]


@asynccontextmanager
async def _archive(data_dir: Path, overrides: dict[str, object]) -> AsyncIterator[Archive]:
    own = {"gateway.dimse_acceptors": 1, "storage.quiet_time_seconds": 3600, **overrides}
    async with (
        services_in_process(data_dir, "storage", "gateway", overrides=own) as settings,
        open_channel(settings.storage.address) as channel,
    ):
        client = StorageClient(channel)
        yield Archive(client, settings)
        await client.close()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts an archive with settings of its own."""
    return lambda **overrides: _archive(tmp_path / "data", {k.replace("__", "."): v for k, v in overrides.items()})


@pytest.fixture
async def archive(start: Start) -> AsyncIterator[Archive]:
    """One with the settings that everybody starts with."""
    async with start() as running:
        yield running


@pytest.fixture(autouse=True)
def broken_associations() -> Iterator[None]:
    """pynetdicom leaves the socket of an association that broke to the garbage collector: here it comes at once."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
