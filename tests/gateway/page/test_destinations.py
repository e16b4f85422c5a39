"""Destinations on the web page: asked whether they answer, and sent to, with progress line by line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.ct_series import ct_series
from tests.gateway.page.conftest import browser, store
from tests.gateway.site import Site, running_site
from tests.installation.in_process import services_in_process

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def other(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Another gateway, to send to."""
    async with running_site(tmp_path_factory.mktemp("other")) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory, other: Site) -> AsyncIterator[httpx.AsyncClient]:
    destinations = {
        "other": {"url": other.dicom_web, "description": "Research"},
        "gone": {"ae_title": "GONE", "address": "127.0.0.1:1"},
        "refusing": {"url": other.dicom_web.replace("/dicom-web", "/nothing-here")},
    }
    overrides: dict[str, object] = {"gateway.destinations": destinations}
    folder = tmp_path_factory.mktemp("sender")
    async with (
        services_in_process(folder, "storage", "gateway", overrides=overrides) as settings,
        browser(settings) as client,
    ):
        yield client


async def test_destinations_are_listed_without_secrets(page: httpx.AsyncClient, other: Site) -> None:
    gone, research, _ = (await page.get("/api/destinations")).json()["destinations"]
    assert (gone["name"], gone["kind"], gone["aeTitle"]) == ("destinations/gone", "KIND_DIMSE", "GONE")
    assert (research["description"], research["url"]) == ("Research", other.dicom_web)
    assert "token" not in str(research).lower()


async def test_one_that_answers_and_one_that_does_not_are_told(page: httpx.AsyncClient) -> None:
    answers = (await page.post("/api/destinations/other:echo")).json()
    assert answers["status"]["code"] == 0
    assert float(answers["roundTrip"].removesuffix("s")) > 0
    silent = (await page.post("/api/destinations/gone:echo")).json()
    assert silent["status"]["code"] != 0
    assert silent["status"]["message"]
    assert (await page.post("/api/destinations/none:echo")).status_code == 404


async def test_study_is_sent_and_the_lines_tell_how_far(page: httpx.AsyncClient, other: Site) -> None:
    series = await store(page, ct_series("sent-by-page", slices=5))
    body = {"names": [series.study], "requestId": "request-1"}
    answer = await page.post("/api/destinations/other:send", json=body)
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["result"]["sentCount"] == 5
    assert all(line["progress"]["total"] for line in lines[1:-1])
    found = await other.http.get(f"/{series.study}/instances")
    assert {item["00080018"]["Value"][0] for item in found.json()} == set(series.instances)


async def test_what_goes_wrong_on_the_way_is_the_last_line(page: httpx.AsyncClient) -> None:
    body = {"names": ["studies/1.2.3.4"], "requestId": "request-2"}
    answer = await page.post("/api/destinations/other:send", json=body)
    last = json.loads(answer.text.splitlines()[-1])
    assert last["error"]["details"][0]["reason"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("none:send", {"names": ["studies/1.2"], "requestId": "a"}, 404),
        ("other:send", {"names": [], "requestId": "a"}, 400),
        ("other:send", {"names": ["studies/1.2"]}, 400),
        ("other:send", {"names": "studies/1.2", "requestId": "a"}, 400),
        ("other:send", {"names": [7], "requestId": "a"}, 400),
        ("other:send", ["studies/1.2"], 400),
    ],
)
async def test_sending_that_cannot_be_is_refused(page: httpx.AsyncClient, path: str, body: object, status: int) -> None:
    answer = await page.post(f"/api/destinations/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["hint"]


async def test_what_a_destination_has_not_taken_is_listed_tried_again_and_dropped(page: httpx.AsyncClient) -> None:
    series = await store(page, ct_series("refused-by-page", slices=2))
    body = {"names": [series.study], "requestId": "request-3"}
    assert (await page.get("/api/failedSends")).json() == {"failedSends": [], "nextPageToken": ""}
    answer = await page.post("/api/destinations/refusing:send", json=body)
    failures = json.loads(answer.text.splitlines()[-1])["result"]["failures"]
    assert len(failures) == 2
    listed = (await page.get("/api/failedSends?destination=destinations/refusing")).json()["failedSends"]
    assert {one["name"] for one in listed} == {one["failedSend"] for one in failures}
    assert "nextTryTime" not in listed[0]
    still = (await page.post(f"/api/{listed[0]['name']}:retry")).json()["failedSend"]
    assert (still["attempts"], still["instance"]) == (2, listed[0]["instance"])
    for one in listed:
        assert (await page.post(f"/api/{one['name']}:drop")).status_code == 200
    assert (await page.get("/api/failedSends")).json()["failedSends"] == []
    assert (await page.post(f"/api/{listed[0]['name']}:retry")).json() == {}
    del page.headers["x-csrf-token"]
    assert (await page.post(f"/api/{listed[0]['name']}:retry")).status_code == 403
