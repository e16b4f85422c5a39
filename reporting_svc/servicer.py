"""The gRPC face of the reporting service: requests in, domain functions called, answers out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import grpc

from imaging.reporting.v1 import reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.caller_address import caller_address
from imaging.stage.v1 import stage_pb2
from imaging.work import RequestWork
from reporting_svc.content.report_template import template_names
from reporting_svc.create_report import ReportMaker
from reporting_svc.finalize_report import ReportFinalizer
from reporting_svc.report_request import checked_request
from reporting_svc.report_table import ReportTable, Result

CHUNK_BYTES = 1 << 20
"""The most that the contract allows in one message."""

Context = grpc.aio.ServicerContext[object, object]


class ReportingServicer(reporting_service_pb2_grpc.ReportingServiceServicer):
    """Serves `imaging.reporting.v1.ReportingService`."""

    def __init__(self, maker: ReportMaker, table: ReportTable, finalizer: ReportFinalizer) -> None:
        self._maker = maker
        self._finalizer = finalizer
        self._table = table
        self._work: RequestWork[Result] = RequestWork()

    async def drain(self, grace: timedelta) -> None:
        """Let running work end."""
        await self._work.drain(grace)

    async def CreateReport(
        self, request: reporting_service_pb2.CreateReportRequest, context: Context
    ) -> AsyncIterator[reporting_service_pb2.CreateReportResponse]:
        """Progress, then the report."""
        wanted = checked_request(request)
        work = self._work.attach(wanted.request_id, lambda report: self._maker.create(wanted, report))
        async for update in work:
            if isinstance(update, stage_pb2.Progress):
                yield reporting_service_pb2.CreateReportResponse(progress=update)
            else:
                yield reporting_service_pb2.CreateReportResponse(result=update)

    async def CancelReporting(
        self, request: reporting_service_pb2.CancelReportingRequest, context: Context
    ) -> reporting_service_pb2.CancelReportingResponse:
        """The work is ended."""
        self._work.cancel(request.request_id)
        return reporting_service_pb2.CancelReportingResponse()

    async def ListTemplates(
        self, request: reporting_service_pb2.ListTemplatesRequest, context: Context
    ) -> reporting_service_pb2.ListTemplatesResponse:
        """The names of the templates."""
        return reporting_service_pb2.ListTemplatesResponse(templates=template_names())

    async def GetReport(
        self, request: reporting_service_pb2.GetReportRequest, context: Context
    ) -> reporting_service_pb2.GetReportResponse:
        """One report."""
        return reporting_service_pb2.GetReportResponse(report=await self._table.get(request.name))

    async def ListReports(
        self, request: reporting_service_pb2.ListReportsRequest, context: Context
    ) -> reporting_service_pb2.ListReportsResponse:
        """A page of reports."""
        reports, token = await self._table.list(request)
        return reporting_service_pb2.ListReportsResponse(reports=reports, next_page_token=token)

    async def FinalizeReport(
        self, request: reporting_service_pb2.FinalizeReportRequest, context: Context
    ) -> reporting_service_pb2.FinalizeReportResponse:
        """The final version."""
        report = await self._finalizer.finalize(request, caller_address(context))
        return reporting_service_pb2.FinalizeReportResponse(report=report)

    async def RenderReport(
        self, request: reporting_service_pb2.RenderReportRequest, context: Context
    ) -> AsyncIterator[reporting_service_pb2.RenderReportResponse]:
        """The document, then its bytes in order."""
        found = await self._table.document(request.name, request.format, request.number)
        first = found.content[:CHUNK_BYTES]
        yield reporting_service_pb2.RenderReportResponse(document=found.document, content=first)
        for start in range(CHUNK_BYTES, len(found.content), CHUNK_BYTES):
            yield reporting_service_pb2.RenderReportResponse(content=found.content[start : start + CHUNK_BYTES])
