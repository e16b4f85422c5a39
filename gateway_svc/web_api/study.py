"""One study with all that belongs to it: series, runs, reports, findings; and saying that it is complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from gateway_svc.http.exchange import Exchange
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import send_json, to_json
from gateway_svc.web_api.services import Services
from imaging.analysis.v1 import analysis_service_pb2 as analysis
from imaging.dicom.uid import validate_uid
from imaging.errors import DeadlineExceeded, Unavailable
from imaging.pipeline.v1 import pipeline_service_pb2 as pipeline
from imaging.reporting.v1 import reporting_service_pb2 as reporting
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_service_pb2 as storage

PAGE: Final = 1000


class StudyPages:
    """Answers requests for a study."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route("/studies/{uid}", {"GET": self._send}),
            Route("/studies/{uid}/findings", {"GET": self._send_findings}),
            Route("/studies/{uid}:complete", {"POST": self._complete}),
            Route("/studies/{uid}:run", {"POST": self._run}),
        ]

    async def _send(self, exchange: Exchange, uid: str) -> None:
        """The images by storage; what the other services know, or why they do not tell."""
        name = _name(uid)
        with domain_errors(name):
            study = (await self._services.storage.GetStudy(storage.GetStudyRequest(name=name))).study
        series, runs, reports = await asyncio.gather(
            self._all(lambda token: self._series(name, token)),
            _or_problem(self._all(lambda token: self._runs(name, token))),
            _or_problem(self._all(lambda token: self._reports(name, token))),
        )
        problems = [found for found in (runs, reports) if isinstance(found, str)]
        await send_json(
            exchange,
            {
                "study": to_json(study),
                "series": series,
                "runs": [] if isinstance(runs, str) else runs,
                "reports": [] if isinstance(reports, str) else reports,
                "problems": problems,
            },
        )

    async def _send_findings(self, exchange: Exchange, uid: str) -> None:
        name, run = _name(uid), dict(exchange.query).get("run", "")

        async def page(token: str) -> tuple[Any, str]:
            request = analysis.ListFindingsRequest(study=name, run=run, page_size=PAGE, page_token=token)
            answer = await self._services.analysis.ListFindings(request)
            return answer.findings, answer.next_page_token

        await send_json(exchange, {"findings": await self._all(page)})

    async def _complete(self, exchange: Exchange, uid: str) -> None:
        """All was sent: the run need not wait for the quiet time."""
        with domain_errors(_name(uid)):
            answer = await self._services.storage.CompleteStudy(storage.CompleteStudyRequest(name=_name(uid)))
        await send_json(exchange, to_json(answer))

    async def _run(self, exchange: Exchange, uid: str) -> None:
        """Start a run by hand."""
        with domain_errors(_name(uid)):
            answer = await self._services.pipeline.CreateRun(pipeline.CreateRunRequest(study=_name(uid)))
        await send_json(exchange, to_json(answer))

    async def _series(self, name: str, token: str) -> tuple[Any, str]:
        request = storage.SearchSeriesRequest(parent=name, page_size=PAGE, page_token=token)
        answer = await self._services.storage.SearchSeries(request)
        return answer.series, answer.next_page_token

    async def _runs(self, name: str, token: str) -> tuple[Any, str]:
        request = pipeline.ListRunsRequest(study=name, page_size=PAGE, page_token=token)
        answer = await self._services.pipeline.ListRuns(request)
        return answer.runs, answer.next_page_token

    async def _reports(self, name: str, token: str) -> tuple[Any, str]:
        request = reporting.ListReportsRequest(study=name, page_size=PAGE, page_token=token)
        answer = await self._services.reporting.ListReports(request)
        return answer.reports, answer.next_page_token

    async def _all(self, page: Callable[[str], Awaitable[tuple[Any, str]]]) -> list[dict[str, Any]]:
        return [to_json(item) async for item in _items(page)]


async def _items(page: Callable[[str], Awaitable[tuple[Any, str]]]) -> AsyncIterator[Any]:
    token = ""
    while True:
        with domain_errors("services"):
            items, token = await page(token)
        for item in items:
            yield item
        if not token:
            return


async def _or_problem(work: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]] | str:
    """The result, or why a service that is down does not give it."""
    try:
        return await work
    except (Unavailable, DeadlineExceeded) as error:
        return error.text


def _name(uid: str) -> str:
    return f"studies/{validate_uid(uid, where='studies in the path')}"
