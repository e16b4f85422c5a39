"""A whole installation in the test's own process, for all tests of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from imaging.settings import SERVICE_NAMES, Settings
from tests.ct_series import CtSeries, ct_series
from tests.installation.in_process import services_in_process

Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """All services; who sends says when a study is complete."""
    overrides: dict[str, object] = {"storage.quiet_time_seconds": 600.0}
    folder: Path = tmp_path_factory.mktemp("page")
    async with services_in_process(folder, *SERVICE_NAMES, overrides=overrides) as running:
        yield running


@asynccontextmanager
async def browser(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client with cookies, and the CSRF token of its session, as the page has it."""
    base = f"http://{settings.gateway.http_address}"
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        session = (await client.get("/api/session")).json()
        client.headers["x-csrf-token"] = session["csrfToken"]
        yield client


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """What the page's scripts can do."""
    async with browser(settings) as client:
        yield client


async def store(page: httpx.AsyncClient, series: CtSeries) -> CtSeries:
    """The series, stored by STOW-RS as the page does it."""
    parts = [
        b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n" for content in series.instances.values()
    ]
    answer = await page.post(
        "/dicom-web/studies",
        content=b"".join(parts) + b"--b--\r\n",
        headers={"content-type": 'multipart/related; type="application/dicom"; boundary=b'},
    )
    assert answer.status_code == 200, answer.text
    return series


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def finished(page: httpx.AsyncClient) -> CtSeries:
    """A study with a run that has ended and a report."""
    series = await store(page, ct_series("finished", slices=6))
    answer = await page.post(f"/api/{series.study}:complete")
    assert answer.status_code == 200, answer.text
    await ended_run(page, series.study)
    return series


async def ended_run(page: httpx.AsyncClient, study: str) -> dict[str, object]:
    """The newest run of a study, once it has ended."""
    import asyncio

    async with asyncio.timeout(90):
        while True:
            runs = (await page.get(f"/api/{study}")).json()["runs"]
            if runs and runs[0]["state"] not in ("STATE_PENDING", "STATE_RUNNING"):
                return dict(runs[0])
            await asyncio.sleep(0.1)
