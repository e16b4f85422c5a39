"""The work of one request: read the series, run the model, store its masks, keep its findings."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from opentelemetry import trace
from pydicom.dataset import Dataset

from analysis_svc.analysis_request import AnalysisRequest
from analysis_svc.finding_message import finding_message, finding_name, refusal_message
from analysis_svc.findings import FindingsTable, Result
from analysis_svc.frame_feed import FrameFeed
from analysis_svc.measurement import Analysis, Refusal
from analysis_svc.model import Report
from analysis_svc.model_thread import run_model
from analysis_svc.regions.region import SegmentedVolume
from analysis_svc.regions.region_source import find_region_sources, read_regions
from analysis_svc.segmentation import SegmentationMaker, segment_numbers, segmentation
from analysis_svc.segmentation_readback import differences
from analysis_svc.series_input import find_instances, require_one_unit, require_suitable
from imaging import deliberate_bug
from imaging.client.headers import InstanceHeader
from imaging.client.storage import StorageClient
from imaging.derived.deterministic import part10_bytes
from imaging.errors import (
    FailedPrecondition,
    InvalidArgument,
    InvalidDicom,
    MeasurementRefused,
    ModelFailed,
    VolumeRefused,
)
from imaging.gate.check import Outgoing
from imaging.gate.image_place import places_of_source
from imaging.stage.v1.stage_pb2 import ObjectCheck
from imaging.storage.v1 import storage_pb2
from imaging.volume.volume import Volume
from imaging.work.derived_output import store_derived

_tracer = trace.get_tracer("analysis_svc")


@dataclass(frozen=True, slots=True)
class _Answer:
    analysis: Analysis
    volume: Volume | None = None
    headers: Sequence[Dataset] = ()


class SeriesAnalysis:
    """Analyses series. At most one model a processor core runs at a time; others wait.

    Parameters
    ----------
    storage
        Where images come from and segmentations go to.
    findings
        Where results are kept.
    model_time_limit
        A model that takes longer fails its request.
    """

    def __init__(self, storage: StorageClient, findings: FindingsTable, model_time_limit: timedelta) -> None:
        self._storage = storage
        self._findings = findings
        self.model_time_limit = model_time_limit
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)

    async def analyze(self, request: AnalysisRequest, report: Report) -> Result:
        """The result of a request: that which is kept, or a new one, which is kept before it comes back.

        The order is: segmentation stored, then findings and result in one transaction. So a request that was cut off
        in between is repeated as a whole; the segmentation has the same UID then and is stored already.

        Raises
        ------
        NotFound
            If the series, or a named instance of it, is not stored.
        ModelFailed, DeadlineExceeded, Cancelled, Unavailable, StaleAttempt
            See their texts.
        """
        kept = await self._findings.result(request.request_id)
        if kept is not None:
            return kept
        with _tracer.start_as_current_span("analyze") as span:
            span.set_attribute("imaging.model", request.model.name)
            span.set_attribute("imaging.series", request.series)
            report(0, 0, "frames", "looking the series up")
            instances = await find_instances(self._storage, request)
            regions = (
                await find_region_sources(self._storage, request.series, request.origin)
                if request.model.requires == "regions"
                else []
            )
            maker = self._maker(request, [*instances, *(source.instance for source in regions)])
            async with self._cores:
                answer = await self._answer(request, instances, regions, report)
            result = await self._result(request, answer, maker, report)
            return await self._findings.store(
                result,
                request_id=request.request_id,
                run=request.run,
                series=request.series,
                model_version=request.model.version,
            )

    @staticmethod
    def _maker(request: AnalysisRequest, instances: Sequence[storage_pb2.Instance]) -> SegmentationMaker:
        digest = hashlib.sha256()
        for instance in instances:
            digest.update(f"{instance.sop_instance_uid} {instance.data_set_sha256}\n".encode())
        parts: tuple[str, ...] = (
            digest.hexdigest(),
            request.model.name,
            request.model.version,
            request.parameters_json,
        )
        if deliberate_bug.active("new-uids-on-retry"):
            parts = (*parts, secrets.token_hex(8))
        return SegmentationMaker(request.model.name, request.model.version, parts, request.effective_time)

    async def _answer(
        self,
        request: AnalysisRequest,
        instances: Sequence[storage_pb2.Instance],
        regions: Sequence[InstanceHeader],
        report: Report,
    ) -> _Answer:
        """What the model says; an input that it cannot take is a refusal and no failure."""
        subject = request.model.name
        try:
            images = [instance for instance in instances if instance.number_of_frames > 0]
            await require_suitable(self._storage, request, images)
            if request.model.requires == "frames":
                return await self._of_frames(request, images, report)
            return await self._of_volume(request, images, regions, report)
        except (MeasurementRefused, VolumeRefused) as error:
            rule = error.metadata.get("rule", error.reason).upper()
            return _Answer(Analysis(refusals=(Refusal(subject, rule, error.what, error.hint),)))
        except InvalidDicom as error:
            # The images are kept as they were sent: pixels that nobody can decode are a fact, not a failure of ours.
            return _Answer(Analysis(refusals=(Refusal(subject, error.reason, error.what, error.hint),)))

    async def _of_volume(
        self,
        request: AnalysisRequest,
        images: Sequence[storage_pb2.Instance],
        regions: Sequence[InstanceHeader],
        report: Report,
    ) -> _Answer:
        uids = [image.sop_instance_uid for image in images]
        volume, headers = await self._storage.read_volume(
            request.series, uids, progress=lambda done, total: report(done, total, "frames", "reading")
        )
        given: Volume | SegmentedVolume = volume
        if request.model.requires == "regions":
            report(0, 0, "regions", "reading")
            given = replace(await read_regions(self._storage, regions, volume), headers=tuple(headers))
        analysis = await run_model(request.model, given, request.parameters, report, self.model_time_limit)
        return _Answer(analysis, volume, headers)

    async def _of_frames(
        self, request: AnalysisRequest, images: Sequence[storage_pb2.Instance], report: Report
    ) -> _Answer:
        headers = await self._storage.read_headers(request.series, [image.sop_instance_uid for image in images])
        require_one_unit([header.dataset for header in headers])
        feed = FrameFeed(headers, self._storage, asyncio.get_running_loop())
        try:
            analysis = await run_model(request.model, feed, request.parameters, report, self.model_time_limit)
        finally:
            await feed.close()
        return _Answer(analysis)

    async def _result(
        self, request: AnalysisRequest, answer: _Answer, maker: SegmentationMaker, report: Report
    ) -> Result:
        analysis, model = answer.analysis, request.model
        refusals = list(analysis.refusals)
        segments: dict[str, int] = {}
        stored: storage_pb2.Instance | None = None
        checks: Sequence[ObjectCheck] = ()
        if analysis.masks and answer.volume is not None:
            report(0, 1, "segmentations", "storing")
            try:
                made = await asyncio.to_thread(_segmentation, analysis, answer.volume, answer.headers, maker)
            except FailedPrecondition as error:
                refusals.append(Refusal("segmentation", "SOURCE_NOT_REFERABLE", error.what, error.hint))
            except InvalidArgument as error:
                raise ModelFailed(error.what, where=f"model {model.name}", hint=error.hint) from error
            else:
                if made is not None:
                    answers = await store_derived(self._storage, [made], request.origin, source="analysis")
                    stored, checks = answers.instances[0], answers.checks
                    segments = segment_numbers(analysis.masks)
            report(1, 1, "segmentations", "stored")
        findings = [
            finding_message(
                measurement,
                name=finding_name(request.request_id, position),
                request_id=request.request_id,
                run=request.run,
                series=request.series,
                model=model,
                tracking_uid=maker.tracking_uid(measurement.tracking_identifier or measurement.concept.meaning),
                segmentation_sop_instance_uid="" if stored is None else stored.sop_instance_uid,
                segments=segments,
            )
            for position, measurement in enumerate(analysis.measurements)
        ]
        return Result(
            findings=findings,
            instances=[] if stored is None else [stored.name],
            refusals=[refusal_message(refusal) for refusal in refusals],
            algorithm=f"{model.name} {model.version}",
            checks=checks,
        )


def _segmentation(
    analysis: Analysis, volume: Volume, headers: Sequence[Dataset], maker: SegmentationMaker
) -> Outgoing | None:
    """The segmentation with what it must keep to; None if no mask has a voxel."""
    dataset = segmentation(analysis.masks, volume, headers, maker)
    if dataset is None:
        return None
    return Outgoing(
        part10_bytes(dataset),
        places_of_source(headers),
        lambda written: differences(written, analysis.masks, volume),
    )
