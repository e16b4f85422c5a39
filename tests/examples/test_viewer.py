"""The viewer example in a real browser: a series by gRPC-Web through the one port into Cornerstone3D, small first."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from imaging.client.storage import StorageClient, Upload
from imaging.rpc.channel import open_channel
from tests.ct_series import ct_series
from tests.examples.viewer_tools import installed_viewer
from tests.front.running import running_front
from tests.gateway.page.chromium import needs_chromium
from tests.installation.in_process import services_in_process

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.peers, pytest.mark.timeout(600)]

WEBGL = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def viewer_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The built example, beside an installation with a series of 24 slices."""
    viewer, chromium = installed_viewer(), needs_chromium()
    assert chromium
    folder: Path = tmp_path_factory.mktemp("viewer")
    vite = viewer / "node_modules" / ".bin" / "vite"
    building = await asyncio.create_subprocess_exec(
        vite, "build", "--outDir", folder / "dist", cwd=viewer, stdout=asyncio.subprocess.DEVNULL
    )
    assert await building.wait() == 0
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with (
        services_in_process(folder / "data", "storage", "gateway") as settings,
        running_front(settings, folder / "front") as front,
    ):
        series = ct_series("viewer", slices=24, size=128, attributes={"SeriesDescription": "Round body"})
        async with open_channel(front.address) as channel:
            storage = StorageClient(channel)
            stored = [r async for r in storage.store([Upload(n, data) for n, data in series.instances.items()])]
            await storage.close()
        assert len(stored) == 24
        serving = await asyncio.create_subprocess_exec(
            vite, "preview", "--outDir", folder / "dist", "--host", "127.0.0.1", "--port", str(port), "--strictPort",
            cwd=viewer, env={**os.environ, "IMAGING_SERVER": front.url}, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await _answers(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}/"
        finally:
            serving.terminate()
            await serving.wait()


async def _answers(url: str) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.ConnectError:
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(loop_scope="module")
async def page(viewer_url: str) -> AsyncIterator[Page]:
    told: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=needs_chromium(), args=WEBGL)
        page = await browser.new_page(viewport={"width": 1100, "height": 720})
        page.on("console", lambda message: message.type == "error" and told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        await page.goto(viewer_url)
        yield page
        await browser.close()
    assert not told, told


async def _greys(page: Page) -> list[int]:
    """The red of the centre and of a corner of the image, as they are seen."""
    canvas = page.locator("#stage canvas")
    png = await canvas.screenshot()
    with Image.open(BytesIO(png)) as seen:
        image = seen.convert("L")
        width, height = image.size
        return [int(image.getpixel(at)) for at in ((width // 2, height // 2), (width // 2, height - 3))]  # type: ignore[arg-type]


async def test_a_series_is_streamed_scrolled_and_windowed(page: Page) -> None:
    await page.evaluate(
        """() => {
          const loaded = document.getElementById("loaded");
          window.told = [];
          new MutationObserver(() => window.told.push(loaded.textContent)).observe(loaded, { childList: true });
        }"""
    )
    await page.get_by_role("button", name="Round body").click()
    await expect(page.get_by_role("status")).to_contain_text("24 of 24 images", timeout=60_000)
    told = await page.evaluate("window.told")
    assert told[0].startswith("1 of 24 previews")  # all of them in low resolution, before any in full
    assert [text for text in told if text.startswith("24 of 24 previews")]
    place, window = page.locator("#place"), page.locator("#window")
    await expect(place).to_have_text("Image 13 of 24")
    await expect(window).to_have_text(re.compile(r"C -?\d+ W \d+"))
    inside, outside = await _greys(page)
    assert inside > outside + 60  # a body in air

    stage = page.locator("#stage")
    await stage.press("ArrowDown")
    await expect(place).to_have_text("Image 14 of 24")
    await stage.hover()
    await page.mouse.wheel(0, -100)
    await expect(place).to_have_text("Image 13 of 24")

    before = await window.text_content()
    await page.mouse.down()
    await page.mouse.move(700, 200, steps=5)
    await page.mouse.up()
    await expect(window).not_to_have_text(str(before))
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/viewer.png")


async def test_an_error_is_told_in_words(page: Page, viewer_url: str) -> None:
    await page.goto(f"{viewer_url}?series=studies/1.2/series/1.3")
    await expect(page.get_by_role("alert")).to_contain_text("series")
