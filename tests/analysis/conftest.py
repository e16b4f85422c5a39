"""Real storage and analysis services in the test's process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from imaging.analysis.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from imaging.client.storage import StorageClient, Upload
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from imaging.settings import Settings
from imaging.stage.v1 import stage_pb2
from tests.installation.in_process import services_in_process


@dataclass(frozen=True, slots=True)
class Services:
    """A client of each service."""

    settings: Settings
    storage: StorageClient
    analysis: Any
    names: list[str] = field(default_factory=list)

    async def send(self, contents: Iterable[bytes]) -> None:
        """Store instances; each must be taken."""
        uploads = [Upload(str(number), content) for number, content in enumerate(contents)]
        async for result in self.storage.store(uploads):
            assert result.error is None
            assert result.instance is not None
            self.names.append(result.instance.name)

    async def analyze(self, request: analysis_service_pb2.AnalyzeSeriesRequest) -> Any:
        """The result, after progress messages only."""
        with domain_errors():
            updates = [update async for update in self.analysis.AnalyzeSeries(request)]
        assert all(update.HasField("progress") for update in updates[:-1])
        return updates[-1].result


def analysis_request(
    series: str, model: str, parameters: dict[str, Any] | None = None, *, request_id: str = "r1", **more: Any
) -> analysis_service_pb2.AnalyzeSeriesRequest:
    """A request of the stage of a run; `context_*` and further fields as given."""
    given, time = Struct(), Timestamp()
    given.update(parameters or {})
    time.FromDatetime(datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC))
    context = {"attempt": 1, "run": "runs/1", "stage": "1-analyze", "effective_time": time}
    context |= {key.removeprefix("context_"): more.pop(key) for key in list(more) if key.startswith("context_")}
    return analysis_service_pb2.AnalyzeSeriesRequest(
        context=stage_pb2.StageContext(request_id=request_id, **context),
        series=series,
        model=model,
        parameters=given,
        **more,
    )


@asynccontextmanager
async def services_at(data_dir: Path) -> AsyncIterator[Services]:
    """The services on a folder, which may hold the data of earlier ones."""
    async with (
        services_in_process(data_dir, "storage", "analysis") as settings,
        open_channel(settings.storage.address) as storage,
        open_channel(settings.analysis.address) as analysis,
    ):
        client = StorageClient(storage)
        yield Services(settings, client, analysis_service_pb2_grpc.AnalysisServiceStub(analysis))
        await client.close()


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with services_at(tmp_path) as running:
        yield running
