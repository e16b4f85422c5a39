"""gRPC, gRPC-Web, DICOMweb and the web page through one port, and what is refused there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from imaging.client.storage import StorageClient, Upload
from imaging.errors import Unauthenticated
from imaging.rpc.channel import open_channel
from imaging.rpc.connection_settings import ChannelSettings
from imaging.settings import Settings
from imaging.storage.v1 import storage_service_pb2 as messages
from tests.ct_series import CtSeries, ct_series
from tests.front.running import Front, grpc_web, grpc_web_frame, running_front
from tests.house_certificates import HouseCertificates
from tests.installation.in_process import services_in_process
from tests.traces.otlp_receiver import otlp_receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET_STUDY = "imaging.storage.v1.StorageService/GetStudy"
RETRIEVE_FRAMES = "imaging.storage.v1.StorageService/RetrieveFrames"
STORE_INSTANCES = "/imaging.storage.v1.StorageService/StoreInstances"
DELETE_STUDY = "imaging.storage.v1.StorageService/DeleteStudy"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    overrides: dict[str, object] = {"gateway.http_hosts": "images.example.org"}
    async with services_in_process(
        tmp_path_factory.mktemp("front"), "storage", "processing", "gateway", overrides=overrides
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def front(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    async with running_front(settings, tmp_path_factory.mktemp("traefik")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def web(front: Front) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=front.url, timeout=30) as client:
        yield client


async def _store(address: str, series: CtSeries, how: ChannelSettings | None = None) -> CtSeries:
    """Stored by gRPC through the one port."""
    async with open_channel(address, how) as channel:
        storage = StorageClient(channel)
        results = [r async for r in storage.store([Upload(name, data) for name, data in series.instances.items()])]
        await storage.close()
    assert [result.error for result in results] == [None] * len(series.instances)
    return series


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stored(front: Front) -> CtSeries:
    return await _store(front.address, ct_series("front", slices=5, attributes={"PatientName": "Secret^Sally"}))


async def test_a_study_stored_by_grpc_is_found_by_dicomweb_and_its_page_is_served(
    web: httpx.AsyncClient, stored: CtSeries
) -> None:
    found = (await web.get("/dicom-web/studies", params={"PatientName": "secret*"})).json()
    assert [study["0020000D"]["Value"] for study in found] == [[stored.study_instance_uid]]
    retrieve_url = found[0]["00081190"]["Value"][0]
    assert retrieve_url.startswith(str(web.base_url))  # what is told leads through the one port again
    assert "<html" in (await web.get("/")).text


async def test_a_study_stored_by_stow_is_read_by_grpc(front: Front, web: httpx.AsyncClient) -> None:
    series = ct_series("front-stow", slices=1)
    (content,) = series.instances.values()
    answer = await web.post("/dicom-web/studies", content=content, headers={"content-type": "application/dicom"})
    assert answer.status_code == 200, answer.text
    async with open_channel(front.address) as channel:
        storage = StorageClient(channel)
        frames = [frame async for frame in storage.read_frames(series=series.series)]
        await storage.close()
    assert len(frames) == 1


async def test_a_browser_streams_a_series_by_grpc_web(web: httpx.AsyncClient, stored: CtSeries) -> None:
    asked = messages.RetrieveFramesRequest(series=stored.series).SerializeToString()
    answers, trailers = await grpc_web(web, RETRIEVE_FRAMES, asked)
    assert trailers["grpc-status"] == "0"
    parts = [messages.RetrieveFramesResponse.FromString(answer) for answer in answers]
    assert sum(len(part.data.content) for part in parts) == 5 * 64 * 64 * 2


async def test_an_error_reaches_a_browser_with_its_code_and_reason(web: httpx.AsyncClient) -> None:
    asked = messages.GetStudyRequest(name="studies/1.2.3").SerializeToString()
    answers, trailers = await grpc_web(web, GET_STUDY, asked)
    assert answers == []
    assert trailers["grpc-status"] == "5"
    assert "grpc-status-details-bin" in trailers


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/grpc-web+proto", "host": "rebound.example"},
        {"content-type": "application/grpc-web+proto", "host": "cafe"},
        {"content-type": "application/grpc-web+proto", "host": "cafe:50059"},
    ],
    ids=lambda headers: headers.get("host") or headers["content-type"],
)
async def test_a_foreign_page_calls_no_service(
    headers: dict[str, str], web: httpx.AsyncClient, stored: CtSeries, front: Front
) -> None:
    asked = messages.DeleteStudyRequest(name=stored.study).SerializeToString()
    answer = await web.post(f"/{DELETE_STUDY}", content=grpc_web_frame(asked), headers=headers)
    assert answer.status_code in (404, 405, 421)
    found = await web.get("/dicom-web/studies", params={"StudyInstanceUID": stored.study_instance_uid})
    assert len(found.json()) == 1


@pytest.mark.parametrize("host", ["localhost", "10.0.0.7", "[::1]:50059", "[2001:db8::cafe]", "images.example.org"])
async def test_calls_by_our_own_names_are_served(host: str, web: httpx.AsyncClient, stored: CtSeries) -> None:
    asked = messages.GetStudyRequest(name=stored.study).SerializeToString()
    answer = await web.post(
        f"/{GET_STUDY}",
        content=grpc_web_frame(asked),
        headers={"content-type": "application/grpc-web+proto", "host": host},
    )
    assert answer.status_code == 200
    assert stored.study.encode() in answer.content


async def test_pages_of_trusted_origins_may_call_and_others_not(settings: Settings, tmp_path: Path) -> None:
    gateway = settings.gateway.model_copy(update={"http_cors_origins": ("https://viewer.example.org",)})
    trusting = settings.model_copy(update={"gateway": gateway})
    async with running_front(trusting, tmp_path) as front, httpx.AsyncClient(base_url=front.url) as client:
        allowed = {}
        for origin in ("https://viewer.example.org", "https://elsewhere.example.org"):
            asked = {
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,x-grpc-web",
            }
            answer = await client.options(f"/{GET_STUDY}", headers=asked)
            allowed[origin] = answer.headers.get("access-control-allow-origin")
    assert allowed == {
        "https://viewer.example.org": "https://viewer.example.org",
        "https://elsewhere.example.org": None,
    }


async def test_the_access_log_tells_each_request_and_nothing_of_a_patient(
    front: Front, web: httpx.AsyncClient, stored: CtSeries
) -> None:
    await web.get("/dicom-web/studies", params={"PatientName": "Secret*"})
    await _store(front.address, stored)
    async with asyncio.timeout(10):
        while {line.get("RouterName") for line in front.requests()} < {"web@file", "storage@file"}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    text = front.log.read_text().lower()
    for secret in ("secret", "patientname", "studies", stored.study_instance_uid):
        assert secret not in text, secret
    assert all({"RequestMethod", "DownstreamStatus", "Duration"} <= line.keys() for line in front.requests())


async def test_a_caller_of_too_many_requests_is_told_to_wait(settings: Settings, tmp_path: Path) -> None:
    async with (
        running_front(settings, tmp_path, requests_per_second=1) as front,
        httpx.AsyncClient(base_url=front.url) as client,
    ):
        answers = await asyncio.gather(*(client.get("/healthz") for _ in range(8)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 5
    assert all("retry-after" in answer.headers for answer in refused)


async def test_calls_of_a_service_that_is_away_are_refused_at_once_and_others_go_on(
    settings: Settings, tmp_path: Path, stored: CtSeries
) -> None:
    with socket.socket() as closed:  # bound and not listening: nobody else takes it, and nobody answers
        closed.bind(("127.0.0.1", 0))
        away = settings.analysis.model_copy(update={"address": f"127.0.0.1:{closed.getsockname()[1]}"})
        without = settings.model_copy(update={"analysis": away})
        async with running_front(without, tmp_path) as front, httpx.AsyncClient(base_url=front.url) as client:
            calls = {"content-type": "application/grpc-web+proto"}
            codes = []
            for _ in range(6):
                answer = await client.post(
                    "/imaging.analysis.v1.AnalysisService/ListModels", content=grpc_web_frame(b""), headers=calls
                )
                codes.append(answer.status_code)
            asked = messages.GetStudyRequest(name=stored.study).SerializeToString()
            _, trailers = await grpc_web(client, GET_STUDY, asked)
    assert codes[0] == 502  # asked in vain
    assert 503 in codes  # not asked
    assert trailers["grpc-status"] == "0"


async def test_tls_ends_at_the_one_port_and_the_token_is_asked_for_behind_it(tmp_path: Path) -> None:
    certificate = HouseCertificates(tmp_path / "house").server("127.0.0.1")
    token_file = tmp_path / "token"
    token_file.write_text("a-token-of-this-test")
    token_file.chmod(0o600)
    overrides: dict[str, object] = {"security.token_file": token_file}
    files = {"certificate_file": certificate.chain, "key_file": certificate.key}
    async with (
        services_in_process(tmp_path / "data", "storage", "gateway", overrides=overrides) as settings,
        running_front(settings, tmp_path / "traefik", **files) as front,
    ):
        how = ChannelSettings(ca_file=certificate.authority, token="a-token-of-this-test")
        await _store(front.address, ct_series("front-tls", slices=2), how)
        with pytest.raises(Unauthenticated):
            await _store(front.address, ct_series("front-tls", slices=2), ChannelSettings(certificate.authority))
        bearer = {"authorization": "Bearer a-token-of-this-test"}
        async with httpx.AsyncClient(base_url=front.url, verify=_trusting(certificate.authority)) as client:
            assert len((await client.get("/dicom-web/studies", headers=bearer)).json()) == 1
            assert (await client.get("/dicom-web/studies")).status_code == 401


async def test_services_with_tls_are_reached_by_tls(tmp_path: Path) -> None:
    certificate = HouseCertificates(tmp_path / "house").server("127.0.0.1")
    overrides: dict[str, object] = {
        "security.certificate_file": certificate.chain,
        "security.key_file": certificate.key,
        "security.ca_file": certificate.authority,
    }
    async with (
        services_in_process(tmp_path / "data", "storage", "gateway", overrides=overrides) as settings,
        running_front(settings, tmp_path / "traefik") as front,
    ):
        series = await _store(front.address, ct_series("front-tls", slices=2), settings.channel())
        async with httpx.AsyncClient(base_url=front.url, verify=_trusting(certificate.authority)) as client:
            found = (await client.get("/dicom-web/studies")).json()
            asked = messages.GetStudyRequest(name=series.study).SerializeToString()
            _, trailers = await grpc_web(client, GET_STUDY, asked)
    assert found[0]["00081190"]["Value"][0].startswith("https://")
    assert trailers["grpc-status"] == "0"


async def test_traces_begin_at_the_one_port(settings: Settings, tmp_path: Path, stored: CtSeries) -> None:
    async with otlp_receiver() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}"}
        async with running_front(settings, tmp_path, env) as front, httpx.AsyncClient(base_url=front.url) as client:
            await client.get("/dicom-web/studies", params={"PatientName": "Secret*"})
            await _store(front.address, stored)
            paths: set[str] = set()
            async with asyncio.timeout(20):
                while not {"/dicom-web/studies", STORE_INSTANCES} <= paths:
                    await asyncio.sleep(0.1)
                    paths = {span.attributes.get("url.path", "") for span in receiver.spans}
        assert {span.service for span in receiver.spans} == {"imaging-front"}
        assert not [value for span in receiver.spans for value in span.attributes.values() if "Secret" in value]


def _trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)
