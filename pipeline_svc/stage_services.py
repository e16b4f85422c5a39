"""The three services that do stages, each behind the same three operations: start or attach, read, cancel."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.struct_pb2 import Struct

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.processing.v1 import processing_service_pb2, processing_service_pb2_grpc
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.status import domain_errors
from imaging.stage.v1.stage_pb2 import Progress, StageContext
from pipeline_svc.recipe import Kind
from pipeline_svc.run_record import RunRecord, StageOutcome, StageRecord

CANCEL_TIMEOUT_S = 5.0
"""For a cancel: a service that does not answer it ends the work by its orphan timer."""


@dataclass(frozen=True, slots=True)
class StageTask:
    """What a service is asked to do."""

    context: StageContext
    run: RunRecord
    stage: StageRecord
    series: str
    """What it works on; empty for a report."""

    sop_instance_uids: tuple[str, ...]
    """The instances of the series to take; empty: all."""

    summaries: Sequence[reporting_service_pb2.StageSummary] = ()
    """What the earlier stages did, for a report."""


class StageService(Protocol):
    """A service that does stages of one kind."""

    def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the outcome. A repeated call with the same request id attaches, or gives the outcome."""

    async def cancel(self, request_id: str) -> None:
        """End the work of a request. Unknown work is no error."""


class ProcessStages:
    """Stages that derive a series."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: processing_service_pb2_grpc.ProcessingServiceAsyncStub = (
            processing_service_pb2_grpc.ProcessingServiceStub(channel)
        )

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the derived series and its instances."""
        request = processing_service_pb2.ProcessSeriesRequest(
            context=task.context,
            series=task.series,
            sop_instance_uids=task.sop_instance_uids,
            step=task.stage.plan.uses,
            parameters=_struct(task.stage.plan.parameters),
        )
        async with aclosing(_answers(self._stub.ProcessSeries(request, timeout=timeout_s))) as responses:
            async for response in responses:
                if response.WhichOneof("update") == "progress":
                    yield response.progress
                else:
                    result = response.result
                    yield StageOutcome(
                        series=result.series,
                        instances=tuple(result.instances),
                        refusals=tuple(result.refusals),
                        algorithm=result.algorithm,
                    )

    async def cancel(self, request_id: str) -> None:
        """End the work of a request."""
        with domain_errors("processing"):
            await self._stub.CancelProcessing(
                processing_service_pb2.CancelProcessingRequest(request_id=request_id), timeout=CANCEL_TIMEOUT_S
            )


class AnalyzeStages:
    """Stages that measure a series."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: analysis_service_pb2_grpc.AnalysisServiceAsyncStub = analysis_service_pb2_grpc.AnalysisServiceStub(
            channel
        )

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the number of findings and the stored segmentations."""
        request = analysis_service_pb2.AnalyzeSeriesRequest(
            context=task.context,
            series=task.series,
            sop_instance_uids=task.sop_instance_uids,
            model=task.stage.plan.uses,
            parameters=_struct(task.stage.plan.parameters),
        )
        async with aclosing(_answers(self._stub.AnalyzeSeries(request, timeout=timeout_s))) as responses:
            async for response in responses:
                if response.WhichOneof("update") == "progress":
                    yield response.progress
                else:
                    result = response.result
                    yield StageOutcome(
                        instances=tuple(result.instances),
                        finding_count=len(result.findings),
                        refusals=tuple(result.refusals),
                        algorithm=result.algorithm,
                    )

    async def cancel(self, request_id: str) -> None:
        """End the work of a request."""
        with domain_errors("analysis"):
            await self._stub.CancelAnalysis(
                analysis_service_pb2.CancelAnalysisRequest(request_id=request_id), timeout=CANCEL_TIMEOUT_S
            )


class ReportStages:
    """Stages that make a report of the findings of the run."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: reporting_service_pb2_grpc.ReportingServiceAsyncStub = (
            reporting_service_pb2_grpc.ReportingServiceStub(channel)
        )

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the report and its stored documents."""
        request = reporting_service_pb2.CreateReportRequest(
            context=task.context,
            study=task.run.study,
            manifest_version=task.run.manifest_version,
            template=task.stage.plan.uses,
            stages=task.summaries,
            outputs=[
                reporting_pb2.DocumentFormat.Value(f"DOCUMENT_FORMAT_{document.upper()}")
                for document in task.stage.plan.documents
            ],
            recipe=f"{task.run.recipe} {task.run.recipe_version}",
        )
        async with aclosing(_answers(self._stub.CreateReport(request, timeout=timeout_s))) as responses:
            async for response in responses:
                if response.WhichOneof("update") == "progress":
                    yield response.progress
                else:
                    report = response.result.report
                    yield StageOutcome(
                        instances=tuple(response.result.instances),
                        finding_count=report.finding_count,
                        refusals=tuple(report.refusals),
                        algorithm=task.stage.plan.uses,
                        report=report.name,
                    )

    async def cancel(self, request_id: str) -> None:
        """End the work of a request."""
        with domain_errors("reporting"):
            await self._stub.CancelReporting(
                reporting_service_pb2.CancelReportingRequest(request_id=request_id), timeout=CANCEL_TIMEOUT_S
            )


def stage_services(
    processing: grpc.aio.Channel, analysis: grpc.aio.Channel, reporting: grpc.aio.Channel
) -> dict[Kind, StageService]:
    """The services by the kind of stage that they do."""
    return {
        "process": ProcessStages(processing),
        "analyze": AnalyzeStages(analysis),
        "report": ReportStages(reporting),
    }


async def _answers(call: Any) -> AsyncGenerator[Any]:
    """The messages of a stream; leaving early, for whatever reason, ends the call (not the work, which has a timer)."""
    try:
        with domain_errors():
            async for response in call:
                yield response
    finally:
        call.cancel()


def _struct(parameters: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(dict(parameters))
    return struct
