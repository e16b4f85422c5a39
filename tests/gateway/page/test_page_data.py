"""What the web page shows of studies, runs, findings and reports, against real services."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.ct_series import CtSeries, ct_series
from tests.gateway.page.conftest import ended_run, store

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _found(page: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await page.get("/api/studies", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["studies"])


async def test_study_is_listed_with_its_newest_run_and_report(page: httpx.AsyncClient, finished: CtSeries) -> None:
    study = next(found for found in await _found(page) if found["name"] == finished.study)
    assert (study["patientName"], study["modalitiesInStudy"][0]) == ("Round^finished", "CT")
    run = study["newestRun"]
    assert run["state"] == "STATE_SUCCEEDED"
    assert run["report"].startswith("reports/")
    assert [stage["state"] for stage in run["stages"]] == ["STATE_SUCCEEDED"] * len(run["stages"])


async def test_text_is_found_in_name_id_accession_number_and_description(page: httpx.AsyncClient) -> None:
    odd = {"PatientName": "Ødegård^Åse", "AccessionNumber": "ACC-77", "StudyDescription": "Knee left"}
    series = await store(page, ct_series("searched", slices=1, attributes=odd))
    for text in ("ødegård", "ØDEG", "åse", "ID-searched", "c-77", "knee", "Knee l", "KNEE", "*ee le*", "Knee?left"):
        assert [study["name"] for study in await _found(page, text=text)] == [series.study], text
    for text in ("nobody", "knees", '"', "<script>", "searched x", "%", "_"):
        assert series.study not in [study["name"] for study in await _found(page, text=text)], text
    both = await _found(page, text="knee", ModalitiesInStudy="CT", StudyDate="20260102-")
    assert len(both) == 1
    assert not await _found(page, text="knee", ModalitiesInStudy="MR")
    assert not await _found(page, text="knee", StudyDate="20260103-")


async def test_list_is_newest_first_and_tells_how_many_there_are(page: httpx.AsyncClient) -> None:
    for number, date in enumerate(("20240101", "20250101", "20230101")):
        await store(page, ct_series(f"dated-{number}", slices=1, attributes={"StudyDate": date, "StudyID": "dated"}))
    answer = (await page.get("/api/studies", params={"text": "dated-", "limit": "2"})).json()
    assert [study["studyDate"] for study in answer["studies"]] == ["20250101", "20240101"]
    assert answer["count"] == 3


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "PatientName=%FF", "StudyDate=yesterday", "00090001=x"]
)
async def test_query_that_cannot_be_is_refused(page: httpx.AsyncClient, query: str) -> None:
    answer = await page.get(f"/api/studies?{query}")
    assert answer.status_code == 400
    assert answer.json()["hint"]


async def test_study_tells_its_series_runs_reports_and_findings(page: httpx.AsyncClient, finished: CtSeries) -> None:
    told = (await page.get(f"/api/{finished.study}")).json()
    kinds = {series["seriesInstanceUid"]: series["origin"]["kind"] for series in told["series"]}
    assert kinds[finished.series_instance_uid] == "KIND_RECEIVED"
    assert "KIND_DERIVED" in kinds.values()
    assert told["study"]["manifest"]["version"] == "1"
    assert [report["name"] for report in told["reports"]] == [told["runs"][0]["report"]]
    assert told["problems"] == []
    findings = (await page.get(f"/api/{finished.study}/findings", params={"run": told["runs"][0]["name"]})).json()
    assert len(findings["findings"]) == told["reports"][0]["findingCount"] > 0


async def test_documents_are_read_under_a_policy_that_runs_nothing(page: httpx.AsyncClient, finished: CtSeries) -> None:
    report = (await page.get(f"/api/{finished.study}")).json()["reports"][0]["name"]
    html = await page.get(f"/api/{report}/html")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in html.headers["content-security-policy"]
    assert "Round" in html.text
    pdf = await page.get(f"/api/{report}/pdf?download")
    assert pdf.content.startswith(b"%PDF-")
    assert pdf.headers["content-disposition"].startswith("attachment")
    sr = await page.get(f"/api/{report}/sr")
    assert sr.content[128:132] == b"DICM"
    picture = await page.get(f"/api/{report}/key-image/1")
    assert picture.content.startswith(b"\x89PNG")
    for path in (f"{report}/docx", f"{report}/html/2", f"{report}/html/x", "reports/none/html"):
        assert (await page.get(f"/api/{path}")).status_code == 404, path


async def test_run_can_be_ended_and_taken_up_again(page: httpx.AsyncClient) -> None:
    series = await store(page, ct_series("ended", slices=40, size=128))
    assert (await page.post(f"/api/{series.study}:complete")).status_code == 200
    runs: list[dict[str, Any]] = []
    while not runs:
        runs = (await page.get(f"/api/{series.study}")).json()["runs"]
    cancelled = await page.post(f"/api/{runs[0]['name']}:cancel")
    assert cancelled.status_code == 200
    run = await ended_run(page, series.study)
    if run["state"] == "STATE_CANCELLED":  # it may have been faster
        assert (await page.post(f"/api/{run['name']}:retry")).status_code == 200
        assert (await ended_run(page, series.study))["state"] == "STATE_SUCCEEDED"
    assert run["name"] in [found["name"] for found in (await page.get("/api/runs?limit=5")).json()["runs"]]
    assert (await page.get(f"/api/{run['name']}")).json()["run"]["study"] == series.study


async def test_what_is_not_there_is_told(page: httpx.AsyncClient) -> None:
    for path in ("studies/1.2.3", "runs/none", "nothing", "studies/1.2.3/nothing"):
        answer = await page.get(f"/api/{path}")
        assert answer.status_code == 404, path
    assert (await page.get("/api/studies/1.2.x")).status_code == 400
    assert (await page.post("/api/studies")).status_code == 405


async def test_health_tells_every_service(page: httpx.AsyncClient) -> None:
    told = (await page.get("/api/health")).json()
    assert set(told["services"]) == {"storage", "processing", "analysis", "reporting", "pipeline", "gateway"}
    assert set(told["services"].values()) == {told["writes"]} == {"SERVING"}


async def test_stored_files_are_answered_by_their_place_and_outcome(page: httpx.AsyncClient) -> None:
    series = ct_series("answered", slices=2)
    contents = list(series.instances.values())
    bodies = [contents[0], b"no DICOM at all" * 20, contents[1], contents[0]]
    parts = [b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n" for content in bodies]
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    answer = await page.post(
        "/dicom-web/studies", content=b"".join(parts) + b"--b--\r\n", headers={"content-type": kind}
    )
    assert answer.status_code == 202
    stored = {item["00091003"]["Value"][0]: item["00091001"]["Value"][0] for item in answer.json()["00081199"]["Value"]}
    assert set(stored) == {1, 3, 4}
    assert stored[3] == "STORED"
    assert sorted((stored[1], stored[4])) == ["ALREADY_STORED", "STORED"]
    (refused,) = answer.json()["0008119A"]["Value"]
    assert refused["00091003"]["Value"] == [2]
    assert refused["00091001"]["Value"] == ["NOT_DICOM"]
