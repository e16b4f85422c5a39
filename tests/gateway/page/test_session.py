"""Who may use the web page: signing in, sessions, and proof that a change comes from our own page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import httpx
import pytest

from gateway_svc.http import session
from gateway_svc.http.server import HttpServer
from gateway_svc.schema import TABLES
from gateway_svc.sending.failed_sends import FailedSends
from gateway_svc.sending.resender import Resender
from gateway_svc.sending.sender import Sender
from gateway_svc.servicer import GatewayServicer
from gateway_svc.web_api.services import Services
from gateway_svc.web_app import web_app
from imaging.client.patience import Patience
from imaging.database import Database
from imaging.rpc.connection_settings import ListenSettings
from imaging.settings import load_settings
from imaging.settings.database import database_access
from imaging.work.try_again import TryAgain

TOKEN = "a-token-of-this-installation"


@asynccontextmanager
async def _door(tmp_path: Path, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP door before services that nobody needs: who is refused gets no further."""
    data_dir = Path(mkdtemp(dir=tmp_path))
    settings = load_settings(env={}, overrides={"data_dir": data_dir, "storage.address": "127.0.0.1:1"})
    services = Services(settings)
    database = Database.open(database_access(settings, "gateway"), TABLES)
    failed = FailedSends(database, TryAgain(timedelta(minutes=1), timedelta(hours=1)))
    sender = Sender(settings, services.storage, failed, Patience())
    gateway = GatewayServicer(settings, sender, Resender(settings, services.storage, failed), failed)
    server = HttpServer(ListenSettings("127.0.0.1:0"), web_app(settings, token, services, gateway))
    port = await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=40) as client:
            yield client
    finally:
        await server.stop(timedelta(seconds=1))
        await services.close()
        await database.close()


async def test_page_and_its_files_are_for_all_but_data_are_not(tmp_path: Path) -> None:
    async with _door(tmp_path, TOKEN) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/assets/app.js")).status_code == 200
        told = (await client.get("/api/session")).json()
        assert (told["signedIn"], told["asksForToken"], told["csrfToken"]) == (False, True, "")
        for path in ("/api/studies", "/api/runs", "/api/health", "/api/reports/x/html", "/dicom-web/studies"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["why"]) == (401, "UNAUTHENTICATED"), path


async def test_session_is_a_cookie_that_no_script_and_no_foreign_page_gets(tmp_path: Path) -> None:
    async with _door(tmp_path, TOKEN) as client:
        for wrong in ("", TOKEN[:-1], f"{TOKEN}x", "über", None, 7):
            answer = await client.post("/api/session", json={"token": wrong})
            assert answer.status_code == 401, wrong
            assert "set-cookie" not in answer.headers
        answer = await client.post("/api/session", json={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert answer.json()["signedIn"]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
            assert part in cookie
        assert TOKEN not in cookie
        assert "Secure" not in cookie
        assert (await client.get("/api/health")).status_code == 200
        proxied = await client.post("/api/session", json={"token": TOKEN}, headers={"x-forwarded-proto": "https"})
        assert proxied.headers["set-cookie"].startswith("__Host-imaging=")
        assert "; Secure" in proxied.headers["set-cookie"]


async def test_session_ends_by_signing_out_by_time_and_with_another_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _door(tmp_path, TOKEN) as client:
        await client.post("/api/session", json={"token": TOKEN})
        name, value = next(iter(client.cookies.items()))
        assert (await client.delete("/api/session")).json()["signedIn"] is False
        assert (await client.get("/api/health")).status_code == 401
        assert (await client.get("/api/health", headers={"cookie": f"a=b; {name}={value}"})).status_code == 200
        expires, nonce, signature = value.split(".")
        later = f"{int(expires, 16) + 1:x}"
        for forged in (f"{later}.{nonce}.{signature}", f"{expires}.{nonce}.", "", "..", f"{nonce}", "é.é.é"):
            answer = await client.get("/api/health", headers=[("cookie", f"{name}={forged}".encode("latin-1"))])
            assert answer.status_code == 401, forged
        monkeypatch.setattr(session.time, "time", lambda: int(expires, 16) + 1)
        assert (await client.get("/api/health", headers={"cookie": f"{name}={value}"})).status_code == 401
    async with _door(tmp_path, f"{TOKEN}-2") as client:
        name = f"imaging-{client.base_url.port}"
        assert (await client.get("/api/health", headers={"cookie": f"{name}={value}"})).status_code == 401


@pytest.mark.parametrize("token", [TOKEN, ""], ids=["with a token", "without"])
async def test_changes_need_the_csrf_token_of_the_session(tmp_path: Path, token: str) -> None:
    async with _door(tmp_path, token) as client, _door(tmp_path, token) as other:
        for one in (client, other):
            if token:
                await one.post("/api/session", json={"token": token})
        csrf = (await client.get("/api/session")).json()["csrfToken"]
        foreign = (await other.get("/api/session")).json()["csrfToken"]
        assert csrf != foreign
        for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": foreign}, {"x-csrf-token": csrf[:-1]}):
            answer = await client.post("/api/runs/x:cancel", headers=headers)
            assert (answer.status_code, answer.json()["why"]) == (403, "CSRF_TOKEN_MISSING"), headers
        # The right one is let through, to a service that is not there.
        assert (await client.post("/api/runs/x:cancel", headers={"x-csrf-token": csrf})).status_code == 503
        wanted = 503 if not token else 403
        stow = {"content-type": "application/dicom"}
        assert (await client.post("/dicom-web/studies", content=b"x", headers=stow)).status_code == wanted


async def test_who_has_the_bearer_token_needs_no_session(tmp_path: Path) -> None:
    async with _door(tmp_path, TOKEN) as client:
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/api/health", headers=bearer)).status_code == 200
        assert (await client.post("/api/runs/x:cancel", headers=bearer)).status_code == 503


async def test_foreign_pages_and_foreign_names_are_refused(tmp_path: Path) -> None:
    async with _door(tmp_path, TOKEN) as client:
        for path in ("/", "/api/session", "/assets/app.js"):
            assert (await client.get(path, headers={"host": "evil.example.com"})).status_code == 421
        origin = {"origin": "https://evil.example.com"}
        assert (await client.post("/api/session", json={"token": TOKEN}, headers=origin)).status_code == 403
        answer = await client.get("/api/session", headers=origin)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
