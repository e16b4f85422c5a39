"""Stages that derive a series, done by the processing service."""

from __future__ import annotations

from typing import Any

import grpc

from imaging.processing.v1 import processing_service_pb2, processing_service_pb2_grpc
from pipeline_svc.runs.record import StageOutcome
from pipeline_svc.stages.stage_service import CANCEL_TIMEOUT_S, StageService, StageTask, struct


class ProcessStages(StageService):
    """The outcome is the derived series and its instances."""

    service = "processing"

    def start(self, channel: grpc.aio.Channel, task: StageTask, timeout_s: float) -> Any:
        """Process the series."""
        request = processing_service_pb2.ProcessSeriesRequest(
            context=task.context,
            series=task.series,
            sop_instance_uids=task.sop_instance_uids,
            step=task.stage.plan.uses,
            parameters=struct(task.stage.plan.parameters),
        )
        return processing_service_pb2_grpc.ProcessingServiceStub(channel).ProcessSeries(request, timeout=timeout_s)

    def outcome(self, task: StageTask, result: processing_service_pb2.ProcessSeriesResponse.Result) -> StageOutcome:
        """The derived series and its instances."""
        return StageOutcome(
            series=result.series,
            instances=tuple(result.instances),
            refusals=tuple(result.refusals),
            algorithm=result.algorithm,
            checks=tuple(result.checks),
        )

    async def end(self, channel: grpc.aio.Channel, request_id: str) -> None:
        """Cancel the processing."""
        request = processing_service_pb2.CancelProcessingRequest(request_id=request_id)
        await processing_service_pb2_grpc.ProcessingServiceStub(channel).CancelProcessing(
            request, timeout=CANCEL_TIMEOUT_S
        )
