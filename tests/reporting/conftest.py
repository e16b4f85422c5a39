"""Real storage, analysis and reporting services in the test's process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.context import attach, detach

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.client.storage import StorageClient, Upload
from imaging.reporting.v1 import reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.rpc.tracing import context_of
from imaging.settings import Settings
from imaging.stage.v1 import stage_pb2
from tests.installation.in_process import services_in_process

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""Every attempt of a stage belongs to the trace of its run."""

EFFECTIVE_TIME = Timestamp(seconds=1_900_000_000)


@dataclass(frozen=True, slots=True)
class Services:
    """A client of each service."""

    settings: Settings
    storage: StorageClient
    analysis: Any
    reporting: Any

    async def send(self, contents: Iterable[bytes]) -> None:
        """Store instances; each must be taken."""
        uploads = [Upload(str(number), content) for number, content in enumerate(contents)]
        assert all([result.error is None async for result in self.storage.store(uploads)])

    async def analyze(self, series: str, model: str, request_id: str) -> reporting_service_pb2.StageSummary:
        """Run a model; what the report has to know of it."""
        request = analysis_service_pb2.AnalyzeSeriesRequest(
            context=stage_context(request_id, model), series=series, model=model
        )
        with domain_errors():
            updates = [update async for update in self.analysis.AnalyzeSeries(request)]
        result = updates[-1].result
        return reporting_service_pb2.StageSummary(
            stage=model,
            request_id=request_id,
            algorithm=result.algorithm,
            series=series,
            outputs=result.instances,
            refusals=result.refusals,
        )

    async def report(self, request: reporting_service_pb2.CreateReportRequest) -> Any:
        """The result, after progress messages only."""
        token = attach(context_of(TRACEPARENT))
        try:
            with domain_errors():
                updates = [update async for update in self.reporting.CreateReport(request)]
        finally:
            detach(token)
        assert all(update.HasField("progress") for update in updates[:-1])
        return updates[-1].result

    async def render(self, report: str, document_format: int, number: int = 0) -> bytes:
        """The bytes of a document, in whatever parts they come."""
        request = reporting_service_pb2.RenderReportRequest(name=report, format=document_format, number=number)
        with domain_errors():
            parts = [part async for part in self.reporting.RenderReport(request)]
        assert parts[0].document.size_bytes == sum(len(part.content) for part in parts)
        assert all(len(part.content) <= 1 << 20 for part in parts)
        return b"".join(part.content for part in parts)


def stage_context(request_id: str, stage: str, attempt: int = 1) -> stage_pb2.StageContext:
    """The context of a stage of the run `runs/1`."""
    return stage_pb2.StageContext(
        request_id=request_id, attempt=attempt, run="runs/1", stage=stage, effective_time=EFFECTIVE_TIME
    )


@asynccontextmanager
async def clients_of(settings: Settings) -> AsyncIterator[Services]:
    """Clients of services that run."""
    async with (
        open_channel(settings.storage.address) as storage,
        open_channel(settings.analysis.address) as analysis,
        open_channel(settings.reporting.address) as reporting,
    ):
        client = StorageClient(storage)
        yield Services(
            settings,
            client,
            analysis_service_pb2_grpc.AnalysisServiceStub(analysis),
            reporting_service_pb2_grpc.ReportingServiceStub(reporting),
        )
        await client.close()


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with (
        services_in_process(tmp_path, "storage", "analysis", "reporting") as settings,
        clients_of(settings) as clients,
    ):
        yield clients
