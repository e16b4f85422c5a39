"""What is served behind the HTTP door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_svc.dicomweb.retrieve_rendered import RenderedResources
from gateway_svc.dicomweb.service import DicomWeb
from gateway_svc.dicomweb.wado_uri import WadoUri
from gateway_svc.http.app import Area, WebApp
from gateway_svc.http.exchange import Exchange
from gateway_svc.http.guard import Guard
from gateway_svc.page.files import ASSETS, Page
from gateway_svc.web_api.alerts import AlertPages
from gateway_svc.web_api.api import WebApi
from gateway_svc.web_api.destinations import DestinationPages
from gateway_svc.web_api.health import Health
from gateway_svc.web_api.report_documents import ReportDocuments
from gateway_svc.web_api.runs import RunPages
from gateway_svc.web_api.services import Services
from gateway_svc.web_api.session import SessionPages
from gateway_svc.web_api.study import StudyPages
from gateway_svc.web_api.study_list import StudyList
from imaging.settings import Settings

if TYPE_CHECKING:
    from gateway_svc.servicer import GatewayServicer


def web_app(settings: Settings, token: str, services: Services, gateway: GatewayServicer) -> WebApp:
    """The areas, checked as the settings say."""
    guard, page = Guard(settings, token), Page()
    routes = [
        *SessionPages(guard, settings.gateway.viewer_url).routes(),
        *StudyList(services).routes(),
        *StudyPages(services).routes(),
        *RunPages(services).routes(),
        *AlertPages(services).routes(),
        *ReportDocuments(services).routes(),
        *DestinationPages(gateway).routes(),
        *Health(services).routes(),
    ]
    rendered = RenderedResources(services.storage)
    areas: dict[str, Area] = {
        "dicom-web": DicomWeb(services.storage, rendered),
        "wado": WadoUri(services.storage, rendered),
        "api": WebApi(guard, routes),
        "": page,
        ASSETS: page,
        "healthz": alive,
    }
    return WebApp(guard, areas, open_areas=frozenset(("", "api", ASSETS, "healthz")))


async def alive(exchange: Exchange) -> None:
    """Answer that the process serves, for load balancers."""
    exchange.route = "/healthz"
    await exchange.send(200, [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")], b"ok\n")
