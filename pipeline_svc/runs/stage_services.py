"""The services that do stages, each behind the same operations: choose a replica, start or attach, cancel."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
from google.protobuf.struct_pb2 import Struct

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.errors import FailedPrecondition
from imaging.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc
from imaging.processing.v1 import processing_service_pb2, processing_service_pb2_grpc
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.replicas import Replicas
from imaging.rpc.status import domain_errors
from imaging.stage.v1.stage_pb2 import Progress, StageContext
from pipeline_svc.recipes.recipe import Kind
from pipeline_svc.runs.record import RunRecord, StageOutcome, StageRecord

CANCEL_TIMEOUT_S = 5.0
"""For a cancel: a service that does not answer it ends the work by its orphan timer."""

_NAMES_A_REQUEST: Final = 5000
"""Of at most 215 bytes each."""


@dataclass(frozen=True, slots=True)
class StageTask:
    """What a service is asked to do."""

    context: StageContext
    run: RunRecord
    stage: StageRecord
    replica: str
    """Which replica of the service is asked: `host:port`."""

    series: str
    """What it works on; empty for a report."""

    sop_instance_uids: tuple[str, ...]
    """The instances of the series to take; empty: all."""

    summaries: Sequence[reporting_service_pb2.StageSummary] = ()
    """What the earlier stages did, for a report."""

    names: tuple[str, ...] = ()
    """What is sent."""


class StageService(Protocol):
    """A service that does stages of one kind."""

    async def choose(self, other_than: str = "") -> str:
        """`host:port` of a replica to ask; another one than that, if there is one."""

    def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the outcome. A repeated call with the same request id attaches, or gives the outcome."""

    async def cancel(self, request_id: str, replica: str) -> None:
        """End the work of a request at a replica. Unknown work is no error."""


class _OfReplicas:
    """Each call has a channel of its own, to the replica that it is meant for: there are few, and they are long."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    async def choose(self, other_than: str = "") -> str:
        """`host:port` of a replica to ask."""
        return await self._replicas.choose(other_than)


class ProcessStages(_OfReplicas):
    """Stages that derive a series."""

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the derived series and its instances."""
        request = processing_service_pb2.ProcessSeriesRequest(
            context=task.context,
            series=task.series,
            sop_instance_uids=task.sop_instance_uids,
            step=task.stage.plan.uses,
            parameters=_struct(task.stage.plan.parameters),
        )
        async with (
            self._replicas.open(task.replica) as channel,
            aclosing(_answers(_processing(channel).ProcessSeries(request, timeout=timeout_s))) as responses,
        ):
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
                        checks=tuple(result.checks),
                    )

    async def cancel(self, request_id: str, replica: str) -> None:
        """End the work of a request."""
        with domain_errors("processing"):
            async with self._replicas.open(replica) as channel:
                await _processing(channel).CancelProcessing(
                    processing_service_pb2.CancelProcessingRequest(request_id=request_id), timeout=CANCEL_TIMEOUT_S
                )


class AnalyzeStages(_OfReplicas):
    """Stages that measure a series."""

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress, then the number of findings and the stored segmentations."""
        request = analysis_service_pb2.AnalyzeSeriesRequest(
            context=task.context,
            series=task.series,
            sop_instance_uids=task.sop_instance_uids,
            model=task.stage.plan.uses,
            parameters=_struct(task.stage.plan.parameters),
        )
        async with (
            self._replicas.open(task.replica) as channel,
            aclosing(_answers(_analysis(channel).AnalyzeSeries(request, timeout=timeout_s))) as responses,
        ):
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
                        checks=tuple(result.checks),
                    )

    async def cancel(self, request_id: str, replica: str) -> None:
        """End the work of a request."""
        with domain_errors("analysis"):
            async with self._replicas.open(replica) as channel:
                await _analysis(channel).CancelAnalysis(
                    analysis_service_pb2.CancelAnalysisRequest(request_id=request_id), timeout=CANCEL_TIMEOUT_S
                )


class ReportStages(_OfReplicas):
    """Stages that make a report of the findings of the run."""

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
        async with (
            self._replicas.open(task.replica) as channel,
            aclosing(_answers(_reporting(channel).CreateReport(request, timeout=timeout_s))) as responses,
        ):
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
                        checks=tuple(report.checks),
                    )

    async def cancel(self, request_id: str, replica: str) -> None:
        """End the work of a request."""
        with domain_errors("reporting"):
            async with self._replicas.open(replica) as channel:
                await _reporting(channel).CancelReporting(
                    reporting_service_pb2.CancelReportingRequest(request_id=request_id), timeout=CANCEL_TIMEOUT_S
                )


class SendStages(_OfReplicas):
    """Stages that send to a destination: many names in several requests, for one is a message of 4 MiB at most."""

    def __init__(self, replicas: Replicas) -> None:
        super().__init__(replicas)
        self._newest_part: dict[str, int] = {}
        """By request id, of what is being sent: the number of the request, from 1."""

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        """Progress; the outcome if every instance was taken.

        Raises
        ------
        FailedPrecondition
            If one was not: the gateway has it in its list, and sends it again by itself if there is hope.
        """
        destination = f"destinations/{task.stage.plan.uses}"
        until = time.monotonic() + timeout_s
        sent = failed = 0
        reason = ""
        for number, start in enumerate(range(0, len(task.names), _NAMES_A_REQUEST), start=1):
            request = gateway_service_pb2.SendInstancesRequest(
                context=task.context, destination=destination, names=task.names[start : start + _NAMES_A_REQUEST]
            )
            request.context.request_id = _part(task.context.request_id, number)
            self._newest_part[task.context.request_id] = number
            result = None
            async with (
                self._replicas.open(task.replica) as channel,
                aclosing(
                    _answers(_gateway(channel).SendInstances(request, timeout=max(0.0, until - time.monotonic())))
                ) as responses,
            ):
                async for response in responses:
                    if response.WhichOneof("update") == "result":
                        result = response.result
                        continue
                    if len(task.names) > _NAMES_A_REQUEST:
                        response.progress.done += sent + failed
                        response.progress.total = len(task.names)
                    yield response.progress
            if result is None:
                return
            sent += result.sent_count
            failed += max(result.failed_count, len(result.failures))  # a gateway of before tells no count
            reason = reason or next((failure.error.message for failure in result.failures), "")
        self._newest_part.pop(task.context.request_id, None)
        if failed:
            raise FailedPrecondition(
                f"{failed} of {failed + sent} instances were not sent, the first because: {reason}",
                where=destination,
                hint="`imaging destinations failed` tells which, why, and when they are tried again.",
            )
        yield StageOutcome()

    async def cancel(self, request_id: str, replica: str) -> None:
        """End the work of a request: of the part of it that was asked for last."""
        part = _part(request_id, self._newest_part.pop(request_id, 1))
        with domain_errors("gateway"):
            async with self._replicas.open(replica) as channel:
                await _gateway(channel).CancelSending(
                    gateway_service_pb2.CancelSendingRequest(request_id=part), timeout=CANCEL_TIMEOUT_S
                )


def _part(request_id: str, number: int) -> str:
    """The id of one of the requests, the same one whenever the stage is called again."""
    return request_id if number == 1 else f"{request_id}/{number}"


def stage_services(
    processing: Replicas, analysis: Replicas, reporting: Replicas, gateway: Replicas
) -> dict[Kind, StageService]:
    """The services by the kind of stage that they do."""
    return {
        "process": ProcessStages(processing),
        "analyze": AnalyzeStages(analysis),
        "report": ReportStages(reporting),
        "send": SendStages(gateway),
    }


def _processing(channel: grpc.aio.Channel) -> processing_service_pb2_grpc.ProcessingServiceAsyncStub:
    return processing_service_pb2_grpc.ProcessingServiceStub(channel)


def _analysis(channel: grpc.aio.Channel) -> analysis_service_pb2_grpc.AnalysisServiceAsyncStub:
    return analysis_service_pb2_grpc.AnalysisServiceStub(channel)


def _reporting(channel: grpc.aio.Channel) -> reporting_service_pb2_grpc.ReportingServiceAsyncStub:
    return reporting_service_pb2_grpc.ReportingServiceStub(channel)


def _gateway(channel: grpc.aio.Channel) -> gateway_service_pb2_grpc.GatewayServiceAsyncStub:
    return gateway_service_pb2_grpc.GatewayServiceStub(channel)


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
