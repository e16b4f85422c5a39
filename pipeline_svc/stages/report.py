"""Stages that make a report of the findings of the run, done by the reporting service."""

from __future__ import annotations

from typing import Any

import grpc

from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from pipeline_svc.runs.record import StageOutcome
from pipeline_svc.stages.stage_service import CANCEL_TIMEOUT_S, StageService, StageTask


class ReportStages(StageService):
    """The outcome is the report and its stored documents."""

    service = "reporting"

    def start(self, channel: grpc.aio.Channel, task: StageTask, timeout_s: float) -> Any:
        """Create the report."""
        plan = task.stage.plan
        request = reporting_service_pb2.CreateReportRequest(
            context=task.context,
            study=task.run.study,
            manifest_version=task.run.manifest_version,
            template=plan.uses,
            stages=task.summaries,
            outputs=[
                reporting_pb2.DocumentFormat.Value(f"DOCUMENT_FORMAT_{document.upper()}") for document in plan.documents
            ],
            recipe=f"{task.run.recipe} {task.run.recipe_version}",
        )
        return reporting_service_pb2_grpc.ReportingServiceStub(channel).CreateReport(request, timeout=timeout_s)

    def outcome(self, task: StageTask, result: reporting_service_pb2.CreateReportResponse.Result) -> StageOutcome:
        """The report and its stored documents."""
        report = result.report
        return StageOutcome(
            instances=tuple(result.instances),
            finding_count=report.finding_count,
            refusals=tuple(report.refusals),
            algorithm=task.stage.plan.uses,
            report=report.name,
            checks=tuple(report.checks),
        )

    async def end(self, channel: grpc.aio.Channel, request_id: str) -> None:
        """Cancel the reporting."""
        request = reporting_service_pb2.CancelReportingRequest(request_id=request_id)
        await reporting_service_pb2_grpc.ReportingServiceStub(channel).CancelReporting(
            request, timeout=CANCEL_TIMEOUT_S
        )
