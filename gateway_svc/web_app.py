"""What is served behind the HTTP door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_svc.dicomweb.service import DicomWeb
from gateway_svc.http.app import Area, WebApp
from gateway_svc.http.exchange import Exchange
from gateway_svc.http.guard import Guard
from imaging.settings import Settings

if TYPE_CHECKING:
    from imaging.client.stub import StorageStub


def web_app(settings: Settings, token: str, storage: StorageStub) -> WebApp:
    """The areas, checked as the settings say."""
    areas: dict[str, Area] = {"dicom-web": DicomWeb(storage), "healthz": alive}
    return WebApp(Guard(settings, token), areas, open_areas=frozenset(("healthz",)))


async def alive(exchange: Exchange) -> None:
    """Answer that the process serves, for load balancers."""
    exchange.route = "/healthz"
    await exchange.send(200, [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")], b"ok\n")
