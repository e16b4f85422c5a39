"""The client that commands talk through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imaging.cli.options import settings_from

if TYPE_CHECKING:
    from imaging.client.async_client import AsyncClient


def with_client(
    work: Callable[[AsyncClient], Awaitable[int]],
    *,
    endpoint: str | None,
    config: Path | None = None,
    data: Path | None = None,
) -> int:
    """Run a command's work with a connected client; the exit code comes back."""
    import uvloop

    from imaging.client.async_client import AsyncClient

    settings = settings_from(config, data)

    async def run() -> int:
        async with AsyncClient(endpoint, settings=settings, source="imaging-cli") as client:
            return await work(client)

    return uvloop.run(run())
