"""Alerts on the web page: raised by a real run of a recipe, shown with their limit, seen by somebody."""

from __future__ import annotations

from pathlib import Path

from imaging.settings import SERVICE_NAMES
from tests.alerting_recipe import alerting_recipe
from tests.ct_series import ct_series
from tests.gateway.page.conftest import browser, ended_run, store
from tests.installation.in_process import services_in_process

RECIPE = alerting_recipe(
    '{alert: anything-at-all, finding: "*", above: -100000, severity: low}',
    '{alert: nothing, finding: "*", above: 1.0e+9}',
)


async def test_a_run_raises_the_alerts_of_its_recipe_and_somebody_sees_them(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.yaml").write_text(RECIPE)
    overrides: dict[str, object] = {
        "storage.quiet_time_seconds": 600.0,
        "pipeline.recipes_dir": tmp_path / "recipes",
    }
    async with (
        services_in_process(tmp_path / "data", *SERVICE_NAMES, overrides=overrides) as settings,
        browser(settings) as page,
    ):
        series = await store(page, ct_series("alerting", slices=4))
        assert (await page.get("/api/alerts")).json() == {"alerts": [], "nextPageToken": ""}
        assert (await page.post(f"/api/{series.study}:complete")).status_code == 200
        run = await ended_run(page, series.study)
        alerts = (await page.get("/api/alerts", params={"study": series.study})).json()["alerts"]
        assert alerts
        assert {alert["rule"] for alert in alerts} == {"anything-at-all"}
        assert {(alert["run"], alert["severity"], alert["condition"]) for alert in alerts} == {
            (run["name"], "SEVERITY_LOW", "above -100000")
        }
        assert len({alert["finding"] for alert in alerts}) == len(alerts)
        first = alerts[0]["name"]
        seen = (await page.post(f"/api/{first}:acknowledge")).json()["alert"]
        assert seen["acknowledgeTime"]
        left = (await page.get("/api/alerts", params={"open": "true", "limit": "1000"})).json()["alerts"]
        assert {alert["name"] for alert in left} == {alert["name"] for alert in alerts} - {first}
        everything = (await page.get("/api/alerts", params={"open": "false", "limit": "1000"})).json()["alerts"]
        assert len(everything) == len(alerts)
        refused = await page.get("/api/alerts", params={"open": "1"})
        assert (refused.status_code, refused.json()["where"]) == (400, "open")
        assert (await page.post("/api/alerts/none:acknowledge")).status_code == 404
        del page.headers["x-csrf-token"]
        assert (await page.post(f"/api/{first}:acknowledge")).status_code == 403
