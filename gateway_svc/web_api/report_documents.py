"""Documents of reports: to read in a frame that runs nothing, or to download; and making a version final."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.web_api.api import Route
from gateway_svc.web_api.json_answer import json_body, send_json, to_json
from gateway_svc.web_api.services import Services
from imaging.errors import InvalidArgument, NotFound
from imaging.reporting.v1 import reporting_pb2
from imaging.reporting.v1 import reporting_service_pb2 as pb
from imaging.rpc.call_messages import messages_of
from imaging.rpc.status import domain_errors

FORMATS: Final = {
    "html": reporting_pb2.DOCUMENT_FORMAT_HTML,
    "pdf": reporting_pb2.DOCUMENT_FORMAT_PDF,
    "sr": reporting_pb2.DOCUMENT_FORMAT_SR,
    "json": reporting_pb2.DOCUMENT_FORMAT_JSON,
    "fhir": reporting_pb2.DOCUMENT_FORMAT_FHIR,
    "kos": reporting_pb2.DOCUMENT_FORMAT_KOS,
    "sc": reporting_pb2.DOCUMENT_FORMAT_SC,
    "key-image": reporting_pb2.DOCUMENT_FORMAT_KEY_IMAGE,
}

_POLICY: Final[tuple[Header, ...]] = (
    (
        b"content-security-policy",
        b"sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'",
    ),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_KEPT: Final[Header] = (b"cache-control", b"private, max-age=3600")
"""Of a document that is named by its number: it never changes."""

_ASKED_FOR: Final[Header] = (b"cache-control", b"private, no-cache")
"""Of the one that is valid: a version that is made final has another."""


class ReportDocuments:
    """Answers requests for documents."""

    def __init__(self, services: Services) -> None:
        self._reporting = services.reporting

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route("/reports/{report}:finalize", {"POST": self._finalize}),
            Route("/reports/{report}/{form}", {"GET": self._send}),
            Route("/reports/{report}/{form}/{number}", {"GET": self._send}),
        ]

    async def _finalize(self, exchange: Exchange, report: str) -> None:
        """`observer` (as Family^Given) and `organization` in the body."""
        body = await json_body(exchange)
        observer, organization = body.get("observer"), body.get("organization")
        if not (isinstance(observer, str) and isinstance(organization, str)):
            raise InvalidArgument(
                "Who stands for the report is not told", where="body", hint="Give observer and organization."
            )
        request = pb.FinalizeReportRequest(name=f"reports/{report}", observer=observer, organization=organization)
        with domain_errors(f"reports/{report}"):
            answer = await self._reporting.FinalizeReport(request)
        await send_json(exchange, to_json(answer))

    async def _send(self, exchange: Exchange, report: str, form: str, number: str = "0") -> None:
        """A document; `?download` asks for a file to keep."""
        if form not in FORMATS or not (number.isascii() and number.isdigit() and len(number) < 6):
            raise NotFound("There is no such document", where="path", hint=f"There are {', '.join(FORMATS)}.")
        request = pb.RenderReportRequest(name=f"reports/{report}", format=FORMATS[form], number=int(number))
        async with aclosing(messages_of(self._reporting.RenderReport(request), "reporting")) as messages:
            first = await anext(messages)
            document = first.document
            as_file = "download" in dict(exchange.query) or form in ("sr", "kos", "sc")
            placed = "attachment" if as_file else "inline"
            headers: list[Header] = [
                (b"content-type", document.media_type.encode("ascii")),
                (b"content-length", b"%d" % document.size_bytes),
                (b"content-disposition", f'{placed}; filename="{document.file_name}"'.encode("latin-1", "replace")),
                *_POLICY,
                _KEPT if int(number) else _ASKED_FOR,
            ]

            async def content() -> AsyncIterator[bytes]:
                yield first.content
                async for message in messages:
                    yield message.content

            await exchange.send_stream(200, headers, content())
