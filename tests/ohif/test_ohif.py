"""OHIF, as its makers build it, on an origin of its own, reads through the one port: no error on its console."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pydicom.data
import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, async_playwright, expect

from imaging.settings import SERVICE_NAMES
from tests.ct_series import CtSeries, ct_series
from tests.front.running import running_front
from tests.gateway.page.chromium import needs_chromium
from tests.gateway.page.conftest import ended_run, store
from tests.installation.in_process import services_in_process
from tests.ohif.serving import ohif_files, served_ohif

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.peers, pytest.mark.timeout(600)]

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
LOADED = 90_000
"""Milliseconds: a software renderer on a busy machine."""

CT = ct_series("ohif", slices=12, size=96, attributes={"PatientName": "Round^Rita", "StudyDescription": "Body of a CT"})
ULTRASOUND = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False)))
ULTRASOUND_BYTES = ULTRASOUND.read_bytes()
"""30 frames in colour."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ohif(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """OHIF beside an installation that has made SEG and SR of a CT, and holds a multi-frame ultrasound."""
    needs_chromium()
    ohif_files()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("ohif")
    overrides: dict[str, object] = {
        "storage.quiet_time_seconds": 600.0,
        "gateway.http_cors_origins": f"http://127.0.0.1:{port}",
    }
    async with (
        services_in_process(folder / "data", *SERVICE_NAMES, overrides=overrides) as settings,
        running_front(settings, folder / "front") as front,
    ):
        await _fill(front.url)
        async with served_ohif(port, f"{front.url}/dicom-web") as url:
            yield url


async def _fill(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        client.headers["x-csrf-token"] = (await client.get("/api/session")).json()["csrfToken"]
        series: CtSeries = await store(client, CT)
        assert (await client.post(f"/api/{series.study}:complete")).status_code == 200
        await ended_run(client, series.study)
        kind = {"content-type": "application/dicom"}
        answer = await client.post("/dicom-web/studies", content=ULTRASOUND_BYTES, headers=kind)
        assert answer.status_code == 200, answer.text


@pytest_asyncio.fixture(loop_scope="module")
async def page(ohif: str) -> AsyncIterator[Page]:
    told: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=needs_chromium(), args=["--no-sandbox", *WEBGL])
        page = await browser.new_page(viewport={"width": 1300, "height": 800})
        page.on("console", lambda message: message.type == "error" and told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and told.append(f"{answer.status} {answer.url}"))
        yield page
        await browser.close()
    assert not told, told


async def _shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/ohif-{name}.png")


async def _skip_tour(page: Page) -> None:
    skip = page.get_by_text("Skip all")
    await page.add_locator_handler(skip, skip.click)


async def test_studies_are_listed(page: Page, ohif: str) -> None:
    await page.goto(ohif)
    await expect(page.get_by_text("Round, Rita")).to_be_visible(timeout=LOADED)
    await expect(page.get_by_text("Body of a CT")).to_be_visible()
    await _shot(page, "list")


async def test_a_ct_its_segmentation_and_its_report_are_opened(page: Page, ohif: str) -> None:
    await _skip_tour(page)
    await page.goto(f"{ohif}/viewer?StudyInstanceUIDs={CT.study_instance_uid}")
    await expect(page.get_by_text("(1/12)")).to_be_visible(timeout=LOADED)
    await _shot(page, "ct")
    segmentation = page.get_by_text("SEG", exact=True).first
    await segmentation.dblclick()
    await expect(page.get_by_text("Do you want to open this Segmentation?")).to_be_visible(timeout=LOADED)
    await page.get_by_role("button", name="Yes").click()
    await expect(page.get_by_text("Do you want to open this Segmentation?")).to_be_hidden(timeout=LOADED)
    await _shot(page, "seg")
    await page.get_by_text("SR", exact=True).first.dblclick()
    await expect(page.get_by_text("Volume: ").first).to_be_visible(timeout=LOADED)
    await expect(page.get_by_text("(6/12)")).to_be_visible()
    await _shot(page, "sr")
    drawn = [await _extent(each) for each in await page.locator("svg.svg-layer polyline").all()]
    border, body = max(drawn), min(drawn)
    # The round body has a diameter of four fifths of the image, and lies in its middle.
    assert body[0] / border[0] == pytest.approx(0.8, abs=0.03)
    assert body[1:] == pytest.approx(border[1:], abs=border[0] / 96)


async def _extent(polyline: Locator) -> tuple[float, float, float]:
    """Width of what is drawn, and its middle, in pixels of the window."""
    box = await polyline.bounding_box()
    assert box is not None
    return box["width"], box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def test_a_multi_frame_ultrasound_is_opened(page: Page, ohif: str) -> None:
    await _skip_tour(page)
    study = pydicom.dcmread(ULTRASOUND, stop_before_pixels=True).StudyInstanceUID
    await page.goto(f"{ohif}/viewer?StudyInstanceUIDs={study}")
    await expect(page.get_by_text("(1/30)")).to_be_visible(timeout=LOADED)
    await _shot(page, "us")
