"""The gRPC face of the analysis service: requests in, domain functions called, answers out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import grpc

from analysis_svc.analysis_request import checked_request
from analysis_svc.analyze_frames import analyze_frames
from analysis_svc.analyze_series import SeriesAnalysis
from analysis_svc.findings import FindingsTable, Result
from analysis_svc.registry import ModelRegistry
from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2, analysis_service_pb2_grpc
from imaging.stage.v1 import stage_pb2
from imaging.work import RequestWork

Context = grpc.aio.ServicerContext[object, object]


class AnalysisServicer(analysis_service_pb2_grpc.AnalysisServiceServicer):
    """Serves `imaging.analysis.v1.AnalysisService`."""

    def __init__(self, registry: ModelRegistry, analysis: SeriesAnalysis, findings: FindingsTable) -> None:
        self._registry = registry
        self._analysis = analysis
        self._findings = findings
        self._work: RequestWork[Result] = RequestWork()

    async def drain(self, grace: timedelta) -> None:
        """Let running work end."""
        await self._work.drain(grace)

    async def ListModels(
        self, request: analysis_service_pb2.ListModelsRequest, context: Context
    ) -> analysis_service_pb2.ListModelsResponse:
        """The models with their parameter schemas."""
        models = [
            analysis_pb2.Model(
                name=entry.model.name,
                version=entry.model.version,
                description=entry.model.description,
                parameters_schema=entry.parameters_schema,
                modalities=entry.model.modalities,
                distribution=entry.distribution,
            )
            for entry in self._registry.all()
        ]
        return analysis_service_pb2.ListModelsResponse(models=models)

    async def AnalyzeSeries(
        self, request: analysis_service_pb2.AnalyzeSeriesRequest, context: Context
    ) -> AsyncIterator[analysis_service_pb2.AnalyzeSeriesResponse]:
        """Progress, then findings, segmentations and refusals."""
        checked = checked_request(request, self._registry)
        work = self._work.attach(checked.request_id, lambda report: self._analysis.analyze(checked, report))
        async for update in work:
            if isinstance(update, stage_pb2.Progress):
                yield analysis_service_pb2.AnalyzeSeriesResponse(progress=update)
            else:
                yield analysis_service_pb2.AnalyzeSeriesResponse(result=update)

    async def AnalyzeFrames(
        self, request_iterator: AsyncIterator[analysis_service_pb2.AnalyzeFramesRequest], context: Context
    ) -> AsyncIterator[analysis_service_pb2.AnalyzeFramesResponse]:
        """What was measured in each frame."""
        answers = analyze_frames(request_iterator, self._registry, self._analysis.model_time_limit)
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def CancelAnalysis(
        self, request: analysis_service_pb2.CancelAnalysisRequest, context: Context
    ) -> analysis_service_pb2.CancelAnalysisResponse:
        """The work is ended."""
        self._work.cancel(request.request_id)
        return analysis_service_pb2.CancelAnalysisResponse()

    async def ListFindings(
        self, request: analysis_service_pb2.ListFindingsRequest, context: Context
    ) -> analysis_service_pb2.ListFindingsResponse:
        """A page of findings."""
        findings, next_page_token = await self._findings.list(request)
        return analysis_service_pb2.ListFindingsResponse(findings=findings, next_page_token=next_page_token)

    async def GetFinding(
        self, request: analysis_service_pb2.GetFindingRequest, context: Context
    ) -> analysis_service_pb2.GetFindingResponse:
        """One finding."""
        return analysis_service_pb2.GetFindingResponse(finding=await self._findings.get(request.name))
