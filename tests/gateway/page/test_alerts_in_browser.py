"""The alerts of a real run in a real browser: listed, seen, and the way to their study."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from imaging.settings import SERVICE_NAMES
from tests.alerting_recipe import alerting_recipe
from tests.ct_series import ct_series
from tests.gateway.page.chromium import chromium_page, needs_chromium, shoot
from tests.gateway.page.conftest import browser, ended_run, store
from tests.installation.in_process import services_in_process

pytestmark = [pytest.mark.peers, pytest.mark.timeout(240)]

RECIPE = alerting_recipe(
    '{alert: dense-at-some-place, finding: "*", above: 10, severity: high}',
    '{alert: thin-at-some-place, finding: "*", below: -900, severity: low}',
)


async def test_alerts_are_listed_and_somebody_says_to_have_seen_one(tmp_path: Path) -> None:
    needs_chromium()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.yaml").write_text(RECIPE)
    overrides: dict[str, object] = {
        "storage.quiet_time_seconds": 600.0,
        "pipeline.recipes_dir": tmp_path / "recipes",
    }
    async with services_in_process(tmp_path / "data", *SERVICE_NAMES, overrides=overrides) as settings:
        async with browser(settings) as client:
            series = await store(client, ct_series("alerting", slices=4))
            assert (await client.post(f"/api/{series.study}:complete")).status_code == 200
            await ended_run(client, series.study)
            told = (await client.get("/api/alerts?limit=100")).json()["alerts"]
        async with chromium_page(f"http://{settings.gateway.http_address}/") as page:
            await page.get_by_role("link", name="Alerts").click()
            rows = page.locator(".alerts li")
            await expect(rows).to_have_count(len(told))
            await expect(page.locator(".summary")).to_have_text(
                f"{len(told)} alerts not seen yet of the newest {len(told)}"
            )
            await shoot(page, "alerts")
            first = rows.first
            await expect(first.locator(".name")).to_have_text("Thin at some place")
            await expect(first).to_contain_text("HU")
            await first.get_by_role("button", name="Seen").click()
            await expect(first).to_contain_text("Seen ")
            await expect(first.get_by_role("button")).to_have_count(0)
            await expect(page.locator(".summary")).to_contain_text(f"{len(told) - 1} alert")
            await shoot(page, "alerts-seen")
            await first.locator("a.name").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Round, alerting")
