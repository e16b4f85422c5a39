"""The HTTP door against what comes through the internet: other names, foreign pages, no token, floods and silence."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway_svc.http import protocol
from gateway_svc.http.app import WebApp
from gateway_svc.http.exchange import Exchange
from gateway_svc.http.guard import Guard
from gateway_svc.http.observed import Observer
from gateway_svc.http.server import HttpServer
from imaging.rpc.connection_settings import ListenSettings
from imaging.settings import load_settings
from tests.ct_series import ct_series
from tests.gateway.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _port(site: Site) -> int:
    return int(site.settings.gateway.http_address.rpartition(":")[2])


async def _raw(port: int, request: bytes, seconds: float = 10) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


@asynccontextmanager
async def _served(area: Any, *, token: str = "", **gateway: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = load_settings(env={}, overrides={f"gateway.{key}": value for key, value in gateway.items()})
    server = HttpServer(ListenSettings("127.0.0.1:0"), WebApp(Guard(settings, token), {"": area}))
    port = await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        await server.stop(timedelta(seconds=1))


async def _fine(exchange: Exchange) -> None:
    exchange.route = "/fine"
    await exchange.send(200, [], b"fine")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:50057", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1:1", 200),
        ("10.1.2.3:80", 200),
        ("[::1]:50057", 200),
        ("pacs.example.org", 200),
        ("evil.example.com", 421),
        ("evil.example.com:80", 421),
        ("localhost.evil.example.com", 421),
        ("127.0.0.1.evil.example.com:80", 421),
    ],
)
async def test_only_names_of_ours_are_served(host: str, status: int) -> None:
    async with _served(_fine, http_hosts=["pacs.example.org"]) as client:
        answer = await client.get("/", headers={"host": host})
        assert answer.status_code == status
        if status == 421:
            assert "gateway.http_hosts" in answer.json()["hint"]


async def test_foreign_page_may_neither_read_nor_change_unless_it_is_trusted() -> None:
    async with _served(_fine, http_cors_origins=["https://viewer.example.org"]) as client:
        foreign, trusted = {"origin": "https://evil.example.com"}, {"origin": "https://viewer.example.org"}
        assert "access-control-allow-origin" not in (await client.get("/", headers=foreign)).headers
        answer = await client.get("/", headers=trusted)
        assert answer.headers["access-control-allow-origin"] == "https://viewer.example.org"
        for headers in (foreign, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
            refused = await client.post("/", headers=headers)
            assert (refused.status_code, refused.json()["where"]) == (403, "Origin")
        assert (await client.post("/", headers=trusted)).status_code == 200
        own = {"origin": f"http://{client.base_url.host}:{client.base_url.port}", "sec-fetch-site": "same-origin"}
        assert (await client.post("/", headers=own)).status_code == 200
        asking = {"access-control-request-method": "POST"}
        assert "access-control-allow-methods" not in (await client.options("/", headers=foreign | asking)).headers
        assert "POST" in (await client.options("/", headers=trusted | asking)).headers["access-control-allow-methods"]


async def test_token_is_asked_for_where_one_is_set() -> None:
    async with _served(_fine, token="s3cret") as client:
        for wrong in ("", "Bearer", "Bearer s3cre", "Bearer s3cret1", "Basic s3cret", "s3cret"):
            answer = await client.get("/", headers={"authorization": wrong} if wrong else {})
            assert answer.status_code == 401, wrong
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for right in ("Bearer s3cret", "bearer s3cret"):
            assert (await client.get("/", headers={"authorization": right})).status_code == 200


async def test_head_that_is_too_large_is_refused_and_the_door_stays_open(site: Site) -> None:
    many = b"".join(b"x-%d: y\r\n" % number for number in range(10_000))
    for head in (many, b"x: " + b"y" * (1 << 20) + b"\r\n"):
        answer = await _raw(_port(site), b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 431
    long_path = await _raw(_port(site), b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert long_path.startswith(b"HTTP/1.1 431 ")
    assert (await site.http.get("/studies")).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\x01\x00\x00\x00\x00\xd0\x00\x01" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["TLS hello", "DIMSE association", "HTTP/2 preface", "nonsense", "negative length", "two lengths"],
)
async def test_other_protocols_are_answered_and_closed(site: Site, sent: bytes) -> None:
    assert (await _raw(_port(site), sent)).startswith(b"HTTP/1.1 400 ")


async def test_connection_on_which_no_head_comes_is_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    assert await _raw(_port(site), b"") == b""
    assert await _raw(_port(site), b"GET / HTTP/1.1\r\nHost: loc") == b""
    slow_second = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP"
    assert (await _raw(_port(site), slow_second)).count(b"HTTP/1.1 200") == 1


async def test_unforeseen_error_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(exchange: Exchange) -> None:
        raise RuntimeError("Miller^Jack")

    async with _served(broken) as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert "Miller" not in answer.text


async def test_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    async def breaking(exchange: Exchange) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("in the middle")

        await exchange.send_stream(200, [], chunks())

    async with _served(breaking) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_span_and_log_tell_the_route_and_not_the_query(caplog: pytest.LogCaptureFixture) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    observer = Observer()
    observer._tracer = provider.get_tracer("test")

    async def nothing(*_: Any) -> Any:
        return {}

    scope = {
        "method": "GET",
        "path": "/dicom-web/studies",
        "query_string": b"PatientName=Miller",
        "headers": [(b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
    }
    exchange = Exchange(scope, nothing, nothing)
    caplog.set_level(logging.DEBUG)
    with observer.observe(exchange):
        exchange.route, exchange.status = "/dicom-web/studies", 200
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /dicom-web/studies"
    assert span.context is not None
    assert trace.format_trace_id(span.context.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    told = f"{span.to_json()} {[vars(record) for record in caplog.records]}"
    assert "http.route" in told
    assert "Miller" not in told


async def test_slow_reader_holds_nobody_up_and_the_server_lets_go_of_it(site: Site) -> None:
    """Twenty clients ask for a large study and read nothing of it: others are served meanwhile."""
    series = ct_series("slow-reader", slices=24, size=512)
    await site.store(*series.instances.values())
    idle = [await asyncio.open_connection("127.0.0.1", _port(site)) for _ in range(20)]
    for _, writer in idle:
        writer.write(f"GET /dicom-web/{series.study} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    try:
        for _ in range(20):
            async with asyncio.timeout(5):
                assert (await site.http.get("/studies?limit=1")).status_code == 200
    finally:
        for _, writer in idle:
            writer.transport.abort()
    async with asyncio.timeout(20):
        whole = await site.http.get(f"/{series.study}")
    assert len(whole.content) > 24 * 512 * 512 * 2


async def test_log_of_the_gateway_is_quiet_about_what_others_send(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await _raw(_port(site), b"GET /%FF%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
