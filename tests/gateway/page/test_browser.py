"""The web page in a real browser: a folder is added, its run watched, its report read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from imaging.settings import Settings
from tests.ct_series import ct_series
from tests.gateway.page.chromium import chromium_page, shoot

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.peers, pytest.mark.timeout(240)]


@pytest_asyncio.fixture(loop_scope="module")
async def page(settings: Settings) -> AsyncIterator[Page]:
    async with chromium_page(f"http://{settings.gateway.http_address}/") as opened:
        yield opened


def _folder(at: Path, seed: str, **attributes: str) -> Path:
    """A folder as a CD has it: images, a copy, something else, and a broken file."""
    series = ct_series(seed, slices=12, size=96, attributes={"SeriesDescription": "Round body", **attributes})
    folder = at / "CD" / "IMAGES"
    folder.mkdir(parents=True)
    contents = list(series.instances.values())
    for number, content in enumerate(contents):
        (folder / f"IM{number:04}").write_bytes(content)
    (folder / "copy").write_bytes(contents[0])
    (folder / "broken").write_bytes(contents[1][:700])
    (at / "CD" / "README.TXT").write_text("not DICOM")
    return at / "CD"


async def test_folder_is_added_its_run_watched_and_its_report_read(page: Page, tmp_path: Path) -> None:
    await expect(page.get_by_role("heading", name="No studies yet")).to_be_visible()
    await page.get_by_role("button", name="Add images").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.set_input_files("#choose-folder", _folder(tmp_path, "browsed", PatientName="<b>Bold</b>^Anna"))

    uploads = page.locator("#uploads")
    await expect(uploads.get_by_role("status")).to_have_text("15 files done", timeout=30_000)
    await expect(uploads.get_by_role("button", name="12 Stored")).to_be_visible()
    await expect(uploads.get_by_role("button", name="1 Already there")).to_be_visible()
    await expect(uploads.locator("li.refused")).to_contain_text("CD/IMAGES/broken")
    await expect(uploads.locator("li.refused small")).to_contain_text("Refused: ")
    await expect(uploads.locator("li.skipped")).to_contain_text("README.TXT")

    row = page.locator("li.study")
    await expect(row).to_contain_text("<b>Bold</b>, Anna")  # as a text, not as markup
    await expect(row.get_by_role("link", name="Report ready")).to_be_visible(timeout=90_000)

    await uploads.get_by_role("link", name="Open the study").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("<b>Bold</b>, Anna")
    steps = page.locator("li.step.succeeded .step-title")
    await expect(steps.nth(1)).to_contain_text("Complete with 12 images")
    await expect(steps.last).to_contain_text("Writing the report")
    await expect(page.locator(".finding-groups caption").first).to_be_visible()

    await page.get_by_role("link", name="Read the report").click()
    report = page.frame_locator("iframe.report-frame")
    await expect(report.locator("h1")).to_be_visible()
    await expect(report.locator("body")).to_contain_text("Bold")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download PDF").click()
    assert (await (await download.value).path()).read_bytes().startswith(b"%PDF-")


async def test_somebody_makes_a_report_final(page: Page) -> None:
    await page.locator("li.study a.name").click()
    await expect(page.locator(".report-item .state")).to_have_text("Draft")
    await page.get_by_role("link", name="Read the report").click()
    report = page.frame_locator("iframe.report-frame")
    await expect(report.locator("header")).to_contain_text("Draft · not verified by a person")
    await page.get_by_role("button", name="Make it final…").click()
    dialog = page.get_by_role("dialog", name="Make the report final")
    await dialog.get_by_label("Family name").fill("Doe^")
    await dialog.get_by_label("Given name").fill("<i>Jane</i>")
    await dialog.get_by_label("Organization").fill("  ")
    await dialog.get_by_role("button", name="Make it final").click()
    await expect(dialog).to_be_visible()  # nobody has said to have read it
    await dialog.get_by_label("I have read the report").check()
    await shoot(page, "finalize")
    await dialog.get_by_role("button", name="Make it final").click()
    await expect(dialog).to_be_visible()  # in the name of no organization
    await dialog.get_by_label("Organization").fill("City Hospital")
    await dialog.get_by_role("button", name="Make it final").click()
    await expect(dialog).to_have_count(0)
    await expect(page.locator(".title-line")).to_contain_text("Verified by Doe, <i>Jane</i> (City Hospital)")
    await expect(page.get_by_role("button", name="Make it final…")).to_have_count(0)
    await expect(report.locator("header")).to_contain_text("Final · verified by <i>Jane</i> Doe, City Hospital")
    await shoot(page, "report-final")
    await page.locator("a.back").click()
    await expect(page.locator(".report-item .state")).to_have_text("Final")
    await shoot(page, "study-final")


async def test_studies_are_found_as_somebody_types_and_by_the_keyboard_alone(page: Page, settings: Settings) -> None:
    await expect(page.locator("li.study")).to_have_count(1)
    await page.keyboard.press("/")
    await page.keyboard.type("nobody")
    await expect(page.get_by_role("heading", name="No study matches")).to_be_visible()
    await page.keyboard.press("Control+A")
    await page.keyboard.type("bold")
    await expect(page.locator("li.study")).to_have_count(1)
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("li.study a.name")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("<b>Bold</b>, Anna")
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("bold")
    assert "bold" not in page.url


async def test_runs_and_services_are_told(page: Page) -> None:
    await page.get_by_role("link", name="Runs").click()
    await expect(page.locator("li.run")).to_contain_text("Done")
    await page.get_by_role("link", name="System").click()
    await expect(page.locator(".services li")).to_have_count(6)
    await expect(page.locator(".services .succeeded")).to_have_count(6)


async def _grey(page: Page, column: float, row: float) -> list[int]:
    """Red, green and blue of the stage, at a part of its width and height."""
    return list(
        await page.evaluate(
            """([column, row]) => {
              const canvas = document.querySelector("canvas.stage");
              const at = [Math.floor(canvas.width * column), Math.floor(canvas.height * row), 1, 1];
              return [...canvas.getContext("2d").getImageData(...at).data].slice(0, 3);
            }""",
            [column, row],
        )
    )


async def _colours(page: Page) -> int:
    """How many pixels of the stage are no grey: what lies over the image."""
    return int(
        await page.evaluate(
            """() => {
              const canvas = document.querySelector("canvas.stage");
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              let coloured = 0;
              for (let at = 0; at < data.length; at += 4) coloured += data[at] !== data[at + 2];
              return coloured;
            }"""
        )
    )


async def test_series_is_scrolled_windowed_and_played(page: Page) -> None:
    await page.locator("li.study a.name").click()
    thumbnail = page.locator("a.series img").first
    await thumbnail.evaluate("image => image.decode()")  # waits for it; the page's policy allows no `wait_for_function`
    assert await thumbnail.evaluate("image => image.naturalWidth") > 90
    await page.get_by_role("link", name="Round body").first.click()
    stage = page.locator("canvas.stage")
    place = page.locator(".corner.bottom-left b")
    await expect(stage).to_have_attribute("data-shown", "7", timeout=20_000)  # the middle of twelve
    await expect(page.get_by_label("Soft tissue")).to_be_visible()
    await page.keyboard.press("s")  # segmentations off

    await page.get_by_label("Window").select_option("Soft tissue")
    await expect(page.locator(".corner.bottom-right")).to_contain_text("C 40 W 400")
    red, green, blue = await _grey(page, 0.5, 0.5)
    assert red == green == blue
    assert 100 <= red <= 155  # 40 HU with a noise of 10 in the middle of the window
    assert await _grey(page, 0.5, 0.02) == [0, 0, 0]  # air
    await page.keyboard.press("i")
    await expect(stage).to_have_attribute("data-inverted", "true")
    assert await _grey(page, 0.5, 0.02) == [255, 255, 255]
    await page.keyboard.press("i")

    await stage.hover()
    await expect(page.locator(".corner.bottom-right")).to_contain_text("HU at")
    await page.mouse.wheel(0, 120)
    await expect(place).to_have_text("8 / 12")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Home")
    await expect(place).to_have_text("1 / 12")
    await page.keyboard.press("PageDown")
    await expect(stage).to_have_attribute("data-shown", "11")
    await page.mouse.down()
    await page.mouse.move(500, 500, steps=4)
    await page.mouse.up()
    await expect(page.locator(".corner.bottom-right")).not_to_contain_text("C 40 W 400")
    await page.keyboard.press("r")

    assert await _colours(page) == 0
    await page.keyboard.press("s")
    await expect(page.locator(".overlays.off")).to_have_count(0)
    await page.get_by_role("button", name="Play").click()
    await expect(place).not_to_have_text("11 / 12")
    await page.get_by_role("button", name="Stop").click()
    await page.keyboard.press("End")
    await expect(stage).to_have_attribute("data-shown", "12")
    await expect(stage).not_to_have_attribute("data-over", "0")
    assert await _colours(page) > 100  # the outline of the soft tissue
    await page.locator("a.back").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("<b>Bold</b>, Anna")
