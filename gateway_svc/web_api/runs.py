"""Runs: the newest of all studies, one of them, taken up again or ended by hand."""

from __future__ import annotations

from typing import Any, Final

from gateway_svc.dicomweb.representation import one_number
from gateway_svc.http.exchange import Exchange
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import send_json, to_json
from gateway_svc.web_api.services import Services
from imaging.pipeline.v1 import pipeline_service_pb2 as pb
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2 as storage

UIDS_AT_ONCE: Final = 100
"""Studies that are looked up by one search."""


class RunPages:
    """Answers requests for runs."""

    def __init__(self, services: Services) -> None:
        self._pipeline = services.pipeline
        self._storage = services.storage

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route("/runs", {"GET": self._list}),
            Route("/runs/{run}", {"GET": self._send}),
            Route("/runs/{run}:retry", {"POST": self._retry}),
            Route("/runs/{run}:cancel", {"POST": self._cancel}),
        ]

    async def _list(self, exchange: Exchange) -> None:
        """A page of runs, and by their names the studies that they are of, as far as they are there."""
        query = dict(exchange.query)
        request = pb.ListRunsRequest(
            page_size=one_number(query.get("limit", "100"), least=1, most=1000, where="limit"),
            page_token=query.get("pageToken", ""),
        )
        with domain_errors("pipeline"):
            answer = await self._pipeline.ListRuns(request)
        uids = list(dict.fromkeys(run.study.removeprefix("studies/") for run in answer.runs))
        studies: dict[str, Any] = {}
        for start in range(0, len(uids), UIDS_AT_ONCE):
            keys = [storage.MatchKey(keyword="StudyInstanceUID", value="\\".join(uids[start : start + UIDS_AT_ONCE]))]
            with domain_errors("storage"):
                found = await self._storage.SearchStudies(
                    storage.SearchStudiesRequest(keys=keys, page_size=UIDS_AT_ONCE)
                )
            studies |= {study.name: to_json(study) for study in found.studies}
        await send_json(exchange, {**to_json(answer), "studies": studies})

    async def _send(self, exchange: Exchange, run: str) -> None:
        with domain_errors(f"runs/{run}"):
            answer = await self._pipeline.GetRun(pb.GetRunRequest(name=f"runs/{run}"))
        await send_json(exchange, to_json(answer))

    async def _retry(self, exchange: Exchange, run: str) -> None:
        with domain_errors(f"runs/{run}"):
            answer = await self._pipeline.RetryRun(pb.RetryRunRequest(name=f"runs/{run}"))
        await send_json(exchange, to_json(answer))

    async def _cancel(self, exchange: Exchange, run: str) -> None:
        with domain_errors(f"runs/{run}"):
            answer = await self._pipeline.CancelRun(pb.CancelRunRequest(name=f"runs/{run}"))
        await send_json(exchange, to_json(answer))
