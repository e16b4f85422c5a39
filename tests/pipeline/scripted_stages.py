"""Small services of the three stage contracts, over real gRPC, whose behaviour a test decides: they block and fail."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2, analysis_service_pb2_grpc
from imaging.errors import ImagingError
from imaging.processing.v1 import processing_pb2, processing_service_pb2, processing_service_pb2_grpc
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.stage.v1.stage_pb2 import Refusal, StageContext
from imaging.work import Report, RequestWork
from pipeline_svc.recipes.book import BUILT_IN, load_recipe_book

PARAMETERS = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "spacing_mm": {"type": "number", "exclusiveMinimum": 0, "maximum": 10, "description": "Edge of a voxel."},
            "method": {"enum": ["mean", "median"]},
        },
    }
)

Behaviour = Callable[[StageContext, Report], Any]
"""Awaited before a stage has its effect; may wait, raise, or give refusals."""


class Gate:
    """A stage that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.entered = 0
        self._arrivals = asyncio.Semaphore(0)

    async def __call__(self, context: StageContext, report: Report) -> None:
        self.entered += 1
        self.reached.set()
        self._arrivals.release()
        await self.open.wait()

    async def wait_for(self, count: int) -> None:
        """Until so many have arrived since the last time."""
        for _ in range(count):
            await self._arrivals.acquire()


def refuse_with(error: ImagingError) -> Behaviour:
    """A stage that fails."""

    async def behave(context: StageContext, report: Report) -> None:
        raise error

    return behave


class ScriptedStages:
    """What the three stage services have in common: their work, and every effect that they ever had."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        """How often the work of each request id was done."""
        self.calls: list[StageContext] = []
        self.cancelled: list[str] = []
        self.cancel_arrived = asyncio.Event()
        self.requests: dict[str, Any] = {}
        """The newest request by what it uses (step, model or template)."""
        self.behaviour: dict[str, Behaviour] = {}
        """By what is used."""
        self.findings: list[analysis_pb2.Finding] = []
        """What analysis has found in any run."""
        self.list_errors: list[ImagingError] = []
        """What the next lists of findings are answered, one each."""
        self.work: RequestWork[list[Refusal]] = RequestWork(heartbeat=timedelta(milliseconds=50))

    def attach(self, uses: str, request: Any) -> AsyncIterator[Any]:
        """Progress, then the refusals."""
        context = request.context
        self.calls.append(context)
        self.requests[uses] = request

        async def start(report: Report) -> list[Refusal]:
            report(1, 2, "slices", f"working on {uses}")
            behave = self.behaviour.get(uses)
            refusals = await behave(context, report) if behave is not None else None
            self.effects[context.request_id] += 1
            return refusals or []

        return self.work.attach(context.request_id, start)

    def cancel(self, request_id: str) -> None:
        """A cancel arrived."""
        self.cancelled.append(request_id)
        self.cancel_arrived.set()
        self.work.cancel(request_id)

    def uses_called(self) -> list[str]:
        """Names of the stages in the order of their calls, each once."""
        return list(dict.fromkeys(context.stage for context in self.calls))


class ScriptedProcessing(processing_service_pb2_grpc.ProcessingServiceServicer):
    """Steps that derive nothing but names."""

    def __init__(self, stages: ScriptedStages) -> None:
        self._stages = stages

    async def GetCapabilities(self, request: Any, context: Any) -> Any:
        names = ("denoise-median", "resample-isotropic")
        return processing_service_pb2.GetCapabilitiesResponse(
            steps=[processing_pb2.Step(name=name, version="1", parameters_schema=PARAMETERS) for name in names]
        )

    async def ProcessSeries(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for item in self._stages.attach(request.step, request):
            if not isinstance(item, list):
                yield processing_service_pb2.ProcessSeriesResponse(progress=item)
                continue
            result = processing_service_pb2.ProcessSeriesResponse.Result(algorithm=f"{request.step} 1", refusals=item)
            if not item:
                result.series = f"{request.series}.9"
                result.instances.append(f"{request.series}.9/instances/9")
            yield processing_service_pb2.ProcessSeriesResponse(result=result)

    async def CancelProcessing(self, request: Any, context: Any) -> Any:
        self._stages.cancel(request.request_id)
        return processing_service_pb2.CancelProcessingResponse()


class ScriptedAnalysis(analysis_service_pb2_grpc.AnalysisServiceServicer):
    """Models that find one thing each."""

    def __init__(self, stages: ScriptedStages) -> None:
        self._stages = stages

    async def ListModels(self, request: Any, context: Any) -> Any:
        book = load_recipe_book(None)
        stages = [stage for name in BUILT_IN for stage in book.get(name).recipe.stages]
        names = sorted({stage.uses for stage in stages if stage.kind == "analyze"})
        return analysis_service_pb2.ListModelsResponse(
            models=[analysis_pb2.Model(name=name, version="1", parameters_schema=PARAMETERS) for name in names]
        )

    async def AnalyzeSeries(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for item in self._stages.attach(request.model, request):
            if not isinstance(item, list):
                yield analysis_service_pb2.AnalyzeSeriesResponse(progress=item)
                continue
            finding = analysis_pb2.Finding(name="findings/1", request_id=request.context.request_id)
            yield analysis_service_pb2.AnalyzeSeriesResponse(
                result=analysis_service_pb2.AnalyzeSeriesResponse.Result(
                    findings=[] if item else [finding], refusals=item, algorithm=f"{request.model} 1"
                )
            )

    async def ListFindings(self, request: Any, context: Any) -> Any:
        if self._stages.list_errors:
            raise self._stages.list_errors.pop(0)
        return analysis_service_pb2.ListFindingsResponse(findings=self._stages.findings)

    async def CancelAnalysis(self, request: Any, context: Any) -> Any:
        self._stages.cancel(request.request_id)
        return analysis_service_pb2.CancelAnalysisResponse()


class ScriptedReporting(reporting_service_pb2_grpc.ReportingServiceServicer):
    """Reports that are names only."""

    def __init__(self, stages: ScriptedStages) -> None:
        self._stages = stages

    async def ListTemplates(self, request: Any, context: Any) -> Any:
        return reporting_service_pb2.ListTemplatesResponse(templates=["ct-quantitative", "quantitative"])

    async def CreateReport(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for item in self._stages.attach(request.template, request):
            if not isinstance(item, list):
                yield reporting_service_pb2.CreateReportResponse(progress=item)
                continue
            report = reporting_pb2.Report(name=f"reports/{request.context.request_id}")
            yield reporting_service_pb2.CreateReportResponse(
                result=reporting_service_pb2.CreateReportResponse.Result(report=report, instances=["sr", "pdf"])
            )

    async def CancelReporting(self, request: Any, context: Any) -> Any:
        self._stages.cancel(request.request_id)
        return reporting_service_pb2.CancelReportingResponse()
