"""Small services of the four contracts, over real gRPC, whose behaviour a test decides: they block, fail, go away."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2, analysis_service_pb2_grpc
from imaging.errors import ImagingError, NotFound, RevisionTooOld
from imaging.processing.v1 import processing_pb2, processing_service_pb2, processing_service_pb2_grpc
from imaging.reporting.v1 import reporting_pb2, reporting_service_pb2, reporting_service_pb2_grpc
from imaging.rpc.server import ListenSettings, RpcServer
from imaging.stage.v1.stage_pb2 import Refusal, StageContext
from imaging.storage.v1 import storage_pb2, storage_service_pb2, storage_service_pb2_grpc
from imaging.work import Report, RequestWork
from pipeline_svc.recipe_book import BUILT_IN, load_recipe_book

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
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


def slice_header(position: int, *, orientation: Sequence[float] = (1, 0, 0, 0, 1, 0), acquisition: int = 1) -> Dataset:
    """The geometry of one slice; `position` in millimetres along the normal."""
    dataset = Dataset()
    dataset.SOPClassUID = CT_IMAGE
    dataset.SOPInstanceUID = "1.2.3"
    dataset.ImageOrientationPatient = list(orientation)
    dataset.ImagePositionPatient = [0, 0, position] if orientation[4] else [0, position, 0]
    dataset.PixelSpacing = [1, 1]
    dataset.AcquisitionNumber = acquisition
    return dataset


@dataclass(slots=True)
class ScriptedSeries:
    """A series of single-frame instances, one for each header."""

    message: storage_pb2.Series
    headers: list[Dataset] = field(default_factory=list)
    image_types: list[str] = field(default_factory=list)

    def instances(self) -> list[storage_pb2.Instance]:
        uid = self.message.series_instance_uid
        return [
            storage_pb2.Instance(
                name=f"{self.message.name}/instances/{uid}.{number}",
                sop_instance_uid=f"{uid}.{number}",
                series_instance_uid=uid,
                instance_number=number,
                rows=64,
                columns=64,
                number_of_frames=1 if self.message.frame_count else 0,
                image_type=self.image_types[number - 1] if self.image_types else "ORIGINAL\\PRIMARY\\AXIAL",
            )
            for number in range(1, len(self.headers) + 1)
        ]


def ct_series(
    study: str, number: int = 1, *, slices: int = 24, body_part: str = "CHEST", **more: Any
) -> ScriptedSeries:
    """A CT series of axial slices, 1 mm apart."""
    uid = f"1.2.3.{number}"
    message = storage_pb2.Series(
        name=f"{study}/series/{uid}",
        series_instance_uid=uid,
        modality="CT",
        series_number=number,
        body_part_examined=body_part,
        instance_count=slices,
        frame_count=slices,
        rows=64,
        columns=64,
        image_types=["ORIGINAL\\PRIMARY\\AXIAL"],
        sop_class_uids=[CT_IMAGE],
    )
    return ScriptedSeries(message, [slice_header(position) for position in range(slices)])


class ScriptedStorage(storage_service_pb2_grpc.StorageServiceServicer):
    """Studies as a test says, and a change log."""

    def __init__(self) -> None:
        self.studies: dict[str, storage_pb2.Study] = {}
        self.series: dict[str, list[ScriptedSeries]] = {}
        self.log: list[storage_pb2.Change] = []
        self.oldest_revision = 1
        self.search_errors: list[ImagingError] = []
        """What the next searches for instances are answered, one each."""

        self._changed = asyncio.Event()
        self.watch_begun = asyncio.Event()

    def complete(self, study: str, *series: ScriptedSeries) -> None:
        """A study is complete (again): a new manifest version."""
        self.series[study] = list(series) or self.series.get(study) or [ct_series(study)]
        message = self.studies.setdefault(study, storage_pb2.Study(name=study))
        message.manifest.version += 1
        message.manifest.traceparent = TRACEPARENT
        self.announce(
            storage_pb2.Change(
                kind=storage_pb2.Change.KIND_STUDY_COMPLETED,
                name=study,
                manifest_version=message.manifest.version,
                traceparent=TRACEPARENT,
            )
        )

    def delete(self, study: str) -> None:
        """A study is gone."""
        del self.studies[study]
        self.announce(storage_pb2.Change(kind=storage_pb2.Change.KIND_STUDY_DELETED, name=study))

    def announce(self, change: storage_pb2.Change) -> None:
        """The next entry of the change log."""
        change.revision = len(self.log) + 1
        self.log.append(change)
        self._changed.set()

    async def GetStudy(self, request: Any, context: Any) -> Any:
        if request.name not in self.studies:
            raise NotFound("no such study", where=request.name)
        return storage_service_pb2.GetStudyResponse(study=self.studies[request.name])

    async def SearchStudies(self, request: Any, context: Any) -> Any:
        return storage_service_pb2.SearchStudiesResponse(studies=list(self.studies.values()))

    async def SearchSeries(self, request: Any, context: Any) -> Any:
        return storage_service_pb2.SearchSeriesResponse(
            series=[one.message for one in self.series.get(request.parent, [])]
        )

    async def SearchInstances(self, request: Any, context: Any) -> Any:
        if self.search_errors:
            raise self.search_errors.pop(0)
        return storage_service_pb2.SearchInstancesResponse(instances=self._series(request.parent).instances())

    async def RetrieveMetadata(self, request: Any, context: Any) -> AsyncIterator[Any]:
        series = self._series(request.name)
        for instance, header in zip(series.instances(), series.headers, strict=True):
            if instance.sop_instance_uid in request.sop_instance_uids:
                buffer = BytesIO()
                dcmwrite(buffer, header, implicit_vr=False, little_endian=True)
                yield storage_service_pb2.RetrieveMetadataResponse(
                    instance=instance, content=buffer.getvalue(), transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN
                )

    async def WatchChanges(self, request: Any, context: Any) -> AsyncIterator[Any]:
        start = request.start_revision or len(self.log) + 1
        if start < self.oldest_revision:
            raise RevisionTooOld("too old", metadata={"oldest_revision": str(self.oldest_revision)})
        while True:
            changes = self.log[start - 1 :]
            yield storage_service_pb2.WatchChangesResponse(
                changes=[change for change in changes if change.kind in request.kinds], revision=len(self.log)
            )
            self.watch_begun.set()
            start = max(start, len(self.log) + 1)
            self._changed.clear()
            await self._changed.wait()

    def _series(self, name: str) -> ScriptedSeries:
        return next(one for series in self.series.values() for one in series if one.message.name == name)


Behaviour = Callable[[StageContext, Report], Any]
"""Awaited before a stage has its effect; may wait, raise, or give refusals."""


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


class Scripted:
    """All four services, each on its own server, which a test can stop and start again at the same port."""

    def __init__(self) -> None:
        self.storage = ScriptedStorage()
        self.stages = ScriptedStages()
        self.addresses: dict[str, str] = {}
        self._servers: dict[str, RpcServer] = {}

    async def start(self, name: str) -> None:
        """Start a service, at the port that it had."""
        add: dict[str, tuple[str, Callable[[Any], None]]] = {
            "storage": (
                "imaging.storage.v1.StorageService",
                lambda server: storage_service_pb2_grpc.add_StorageServiceServicer_to_server(self.storage, server),
            ),
            "processing": (
                "imaging.processing.v1.ProcessingService",
                lambda server: processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server(
                    ScriptedProcessing(self.stages), server
                ),
            ),
            "analysis": (
                "imaging.analysis.v1.AnalysisService",
                lambda server: analysis_service_pb2_grpc.add_AnalysisServiceServicer_to_server(
                    ScriptedAnalysis(self.stages), server
                ),
            ),
            "reporting": (
                "imaging.reporting.v1.ReportingService",
                lambda server: reporting_service_pb2_grpc.add_ReportingServiceServicer_to_server(
                    ScriptedReporting(self.stages), server
                ),
            ),
        }
        full_name, add_servicer = add[name]
        address = self.addresses.get(name, "127.0.0.1:0")
        server = RpcServer(ListenSettings(address), {full_name: add_servicer})
        self.addresses[name] = f"127.0.0.1:{await server.start()}"
        self._servers[name] = server

    async def stop(self, name: str) -> None:
        """Take a service away at once, as a kill does: its calls break."""
        await self._servers.pop(name).stop(timedelta(0))

    async def stop_all(self) -> None:
        """End everything."""
        await self.stages.work.drain(timedelta(0))
        for name in list(self._servers):
            await self.stop(name)


@asynccontextmanager
async def scripted_services() -> AsyncIterator[Scripted]:
    """The four services, started."""
    scripted = Scripted()
    for name in ("storage", "processing", "analysis", "reporting"):
        await scripted.start(name)
    try:
        yield scripted
    finally:
        await scripted.stop_all()


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
