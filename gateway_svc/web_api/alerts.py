"""Alerts: the newest, those of a study, seen by somebody, told anew."""

from __future__ import annotations

from typing import Any

from gateway_svc.dicomweb.representation import one_number, one_truth
from gateway_svc.http.exchange import Exchange
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import send_json, to_json
from gateway_svc.web_api.services import Services
from imaging.pipeline.v1 import pipeline_service_pb2 as pb
from imaging.rpc.status import domain_errors


class AlertPages:
    """Answers requests for alerts."""

    def __init__(self, services: Services) -> None:
        self._pipeline: Any = services.pipeline

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route("/alerts", {"GET": self._list}),
            Route("/alerts/{alert}:acknowledge", {"POST": self._acknowledge}),
            Route("/alerts/{alert}:redeliver", {"POST": self._redeliver}),
        ]

    async def _list(self, exchange: Exchange) -> None:
        query = dict(exchange.query)
        request = pb.ListAlertsRequest(
            study=query.get("study", ""),
            open=one_truth(query.get("open", "false"), where="open"),
            page_size=one_number(query.get("limit", "100"), least=1, most=1000, where="limit"),
            page_token=query.get("pageToken", ""),
        )
        with domain_errors("pipeline"):
            answer = await self._pipeline.ListAlerts(request)
        await send_json(exchange, to_json(answer))

    async def _acknowledge(self, exchange: Exchange, alert: str) -> None:
        with domain_errors(f"alerts/{alert}"):
            answer = await self._pipeline.AcknowledgeAlert(pb.AcknowledgeAlertRequest(name=f"alerts/{alert}"))
        await send_json(exchange, to_json(answer))

    async def _redeliver(self, exchange: Exchange, alert: str) -> None:
        with domain_errors(f"alerts/{alert}"):
            answer = await self._pipeline.RedeliverAlert(pb.RedeliverAlertRequest(name=f"alerts/{alert}"))
        await send_json(exchange, to_json(answer))
