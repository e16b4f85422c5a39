"""Whether the services answer."""

from __future__ import annotations

import asyncio

from gateway_svc.http.exchange import Exchange
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import send_json
from gateway_svc.web_api.services import ASKED, Services


class Health:
    """Answers for the health of all services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """Its path."""
        return [Route("/health", {"GET": self._send})]

    async def _send(self, exchange: Exchange) -> None:
        """`writes`: whether storage can keep what comes (a full or failing disk: it cannot)."""
        states = await asyncio.gather(*(self._services.health(name) for name in ASKED))
        services = {**dict(zip(ASKED, states, strict=True)), "gateway": "SERVING"}
        writes = await self._services.health("storage", "writes")
        await send_json(exchange, {"services": services, "writes": writes})
