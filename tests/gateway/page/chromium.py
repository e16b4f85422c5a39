"""A Chromium of the system, driven as a user would, that tolerates no error of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def needs_chromium() -> str:
    """The path of the program; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium), so the page is not driven in one")
    return found


@asynccontextmanager
async def chromium_page(url: str, *, width: int = 1280, dark: bool = False) -> AsyncIterator[Page]:
    """The page at `url`; at the end no error may stand on its console."""
    told: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=needs_chromium(), args=["--no-sandbox"])
        try:
            page = await browser.new_page(
                viewport={"width": width, "height": 820}, color_scheme="dark" if dark else "light", locale="en-GB"
            )
            # Chromium warns of our own reading of pixels; what goes wrong it tells as errors.
            page.on("console", lambda message: message.type == "error" and told.append(message.text))
            page.on("pageerror", lambda error: told.append(str(error)))
            await page.goto(url)
            yield page
        finally:
            await browser.close()
    assert not told, told


async def shoot(page: Page, name: str) -> None:
    """Pictures in light and dark for who wants to look at them: `SCREENSHOTS` names the folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        for scheme in ("dark", "light"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of its literals
            await page.screenshot(path=f"{folder}/page-{name}-{scheme}.png")
