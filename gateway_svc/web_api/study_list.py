"""The list of studies, newest first, each with its newest run: searched as somebody types."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway_svc.dicomweb.query import parse_query
from gateway_svc.dicomweb.representation import one_number
from gateway_svc.http.exchange import Exchange
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import send_json, to_json
from gateway_svc.web_api.services import Services
from imaging.errors import DeadlineExceeded, Unavailable
from imaging.pipeline.v1 import pipeline_pb2
from imaging.pipeline.v1 import pipeline_service_pb2 as pipeline
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as storage

TEXT_KEYS: Final = ("PatientName", "PatientID", "AccessionNumber", "StudyDescription")
"""A text that somebody types is looked for in each of these."""

MOST_STUDIES: Final = 1000
MOST_COUNTED: Final = 10_000

RECENT_RUNS: Final = 200
"""Asked for at once; older studies are asked for one by one."""


class StudyList:
    """Answers searches for studies."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """Its path."""
        return [Route("/studies", {"GET": self._send})]

    async def _send(self, exchange: Exchange) -> None:
        """`text` is looked for in `TEXT_KEYS`, with its own wildcards or anywhere; other keys are those of QIDO-RS."""
        limit, text, keys = 100, "", []
        for name, value in exchange.query:
            if name == "limit":
                limit = one_number(value, least=1, most=MOST_STUDIES, where="limit")
            elif name == "text":
                text = value.strip()
            else:
                keys.append((name, value))
        fixed = [storage.MatchKey(keyword=key, value=value) for key, value in parse_query(keys, 1).keys]
        studies, count = await self._search(text, fixed, limit)
        runs, problem = {}, ""
        try:
            runs = await self._newest_runs([study.name for study in studies])
        except (Unavailable, DeadlineExceeded) as error:  # the images are there all the same
            problem = error.text
        found = [
            {**to_json(study), "newestRun": to_json(runs[study.name]) if study.name in runs else None}
            for study in studies
        ]
        await send_json(exchange, {"studies": found, "count": count, "runsProblem": problem})

    async def _search(
        self, text: str, fixed: Sequence[storage.MatchKey], limit: int
    ) -> tuple[list[storage_pb2.Study], int]:
        """At most `limit` studies, and how many match (no more than `MOST_COUNTED` are counted)."""
        if not text:
            answer = await self._page(fixed, limit)
            return list(answer.studies), answer.count
        pages = await asyncio.gather(
            *(
                self._page([storage.MatchKey(keyword=key, value=_pattern(key, text)), *fixed], limit)
                for key in TEXT_KEYS
            )
        )
        merged = heapq.merge(*(page.studies for page in pages), key=_age, reverse=True)
        studies = list({study.name: study for study in merged}.values())
        most = max(page.count for page in pages)
        return studies[:limit], max(most, len(studies))

    async def _page(self, keys: Iterable[storage.MatchKey], limit: int) -> Any:
        request = storage.SearchStudiesRequest(keys=keys, page_size=limit, count_up_to=MOST_COUNTED)
        with domain_errors("storage"):
            return await self._services.storage.SearchStudies(request)

    async def _newest_runs(self, studies: Sequence[str]) -> dict[str, pipeline_pb2.Run]:
        """The newest run of each study that has one."""
        if not studies:
            return {}
        runs: dict[str, pipeline_pb2.Run] = {}
        with domain_errors("pipeline"):
            recent = await self._services.pipeline.ListRuns(pipeline.ListRunsRequest(page_size=RECENT_RUNS))
            for run in recent.runs:
                runs.setdefault(run.study, run)
            if recent.next_page_token:
                asked = [
                    self._services.pipeline.ListRuns(pipeline.ListRunsRequest(study=study, page_size=1))
                    for study in studies
                    if study not in runs
                ]
                for answer in await asyncio.gather(*asked):
                    runs |= {run.study: run for run in answer.runs}
        return runs


def _pattern(key: str, text: str) -> str:
    """Names match in any case, other texts in theirs: of those, the usual ways to write it are looked for as well."""
    pattern = (text if "*" in text or "?" in text else f"*{text}*").replace("\\", "?")
    if key == "PatientName":
        return pattern
    return "\\".join(dict.fromkeys((pattern, pattern.upper(), pattern.lower(), pattern.title())))


def _age(study: storage_pb2.Study) -> tuple[str, str]:
    return study.study_date, study.study_time
