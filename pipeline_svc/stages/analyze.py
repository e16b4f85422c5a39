"""Stages that measure a series, done by the analysis service."""

from __future__ import annotations

from typing import Any

import grpc

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from pipeline_svc.runs.record import StageOutcome
from pipeline_svc.stages.stage_service import CANCEL_TIMEOUT_S, StageService, StageTask, struct


class AnalyzeStages(StageService):
    """The outcome is the number of findings and the stored segmentations."""

    service = "analysis"

    def start(self, channel: grpc.aio.Channel, task: StageTask, timeout_s: float) -> Any:
        """Analyze the series."""
        request = analysis_service_pb2.AnalyzeSeriesRequest(
            context=task.context,
            series=task.series,
            sop_instance_uids=task.sop_instance_uids,
            model=task.stage.plan.uses,
            parameters=struct(task.stage.plan.parameters),
        )
        return analysis_service_pb2_grpc.AnalysisServiceStub(channel).AnalyzeSeries(request, timeout=timeout_s)

    def outcome(self, task: StageTask, result: analysis_service_pb2.AnalyzeSeriesResponse.Result) -> StageOutcome:
        """The number of findings and the stored segmentations."""
        return StageOutcome(
            instances=tuple(result.instances),
            finding_count=len(result.findings),
            refusals=tuple(result.refusals),
            algorithm=result.algorithm,
            checks=tuple(result.checks),
        )

    async def end(self, channel: grpc.aio.Channel, request_id: str) -> None:
        """Cancel the analysis."""
        request = analysis_service_pb2.CancelAnalysisRequest(request_id=request_id)
        stub = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
        await stub.CancelAnalysis(request, timeout=CANCEL_TIMEOUT_S)
