"""Reports and their documents."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import grpc

from imaging.client import conversion
from imaging.client.results import Study
from imaging.client.run_results import Document, Report
from imaging.errors import ChecksumMismatch, InvalidArgument
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.status import domain_errors


class AsyncReports:
    """The reports of an installation."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: reporting_service_pb2_grpc.ReportingServiceAsyncStub = (
            reporting_service_pb2_grpc.ReportingServiceStub(channel)
        )

    async def list(self, study: str | Study = "") -> list[Report]:
        """The reports of a study or of all, newest first."""
        name = study if isinstance(study, str) else study.name
        name = f"studies/{name}" if name and "/" not in name else name
        request = reporting_service_pb2.ListReportsRequest(study=name, page_size=1000)
        reports: list[Report] = []
        while True:
            with domain_errors("reporting"):
                page = await self._stub.ListReports(request)
            reports.extend(conversion.report(item) for item in page.reports)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return reports

    async def get(self, report: str | Report) -> Report:
        """One report."""
        with domain_errors(_report_name(report)):
            answer = await self._stub.GetReport(reporting_service_pb2.GetReportRequest(name=_report_name(report)))
        return conversion.report(answer.report)

    async def finalize(self, report: str | Report, *, observer: str, organization: str) -> Report:
        """Make a version final in the name of a person (`Family^Given`): it never changes from then on.

        Raises
        ------
        FailedPrecondition
            If a later version is final already.
        """
        name = _report_name(report)
        request = reporting_service_pb2.FinalizeReportRequest(name=name, observer=observer, organization=organization)
        with domain_errors(name):
            answer = await self._stub.FinalizeReport(request)
        return conversion.report(answer.report)

    async def read(self, report: str | Report, document: Document) -> bytes:
        """The bytes of one document.

        Raises
        ------
        ChecksumMismatch
            If they changed on the way.
        """
        request = reporting_service_pb2.RenderReportRequest(
            name=_report_name(report),
            format=reporting_pb2.DocumentFormat.Value(f"DOCUMENT_FORMAT_{document.format}"),
            number=document.number,
        )
        with domain_errors(_report_name(report)):
            content = b"".join([message.content async for message in self._stub.RenderReport(request)])
        if document.sha256 and hashlib.sha256(content).hexdigest() != document.sha256:
            raise ChecksumMismatch("The document changed on the way", where=document.file_name, hint="Get it again.")
        return content

    async def download(self, report: str | Report, folder: str | Path) -> tuple[Path, ...]:
        """Write every document of a report into a folder, which is made if it is not there; the files come back.

        Raises
        ------
        InvalidArgument
            If a file cannot be written.
        """
        whole = await self.get(report)
        target = Path(folder)
        files = []
        for document in whole.documents:
            content = await self.read(whole, document)
            # The name comes from a service: only its last part may name a file here.
            path = target / (Path(document.file_name).name or f"document-{document.number}")
            await asyncio.to_thread(_write, path, content)
            files.append(path)
        return tuple(files)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InvalidArgument(
            f"It cannot be written: {error.strerror}", where=str(path), hint="Choose another folder."
        ) from None


def _report_name(report: str | Report) -> str:
    name = report if isinstance(report, str) else report.name
    return name if "/" in name else f"reports/{name}"
