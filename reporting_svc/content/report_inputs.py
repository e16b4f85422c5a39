"""What a report is made from, gathered from storage and analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from imaging.analysis.v1 import analysis_pb2, analysis_service_pb2, analysis_service_pb2_grpc
from imaging.client.storage import StorageClient
from imaging.errors import DataLoss, InvalidArgument, NotFound
from imaging.reporting.v1 import reporting_service_pb2
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from reporting_svc.content.assemble_content import series_uses
from reporting_svc.content.finding_groups import group_findings
from reporting_svc.content.report_content import FindingGroup, SeriesUse
from reporting_svc.dicom.evidence import StoredInstance, group_frames
from reporting_svc.dicom.structured_report import ReportSources
from reporting_svc.dicom.study_identity import study_identity
from reporting_svc.places.find_places import PlaceFinder

MAX_FINDINGS: Final = 2000
"""Nobody reads more; the rest stays in the findings table, and the report says so."""


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Everything that the documents are made from."""

    study: storage_pb2.Study
    series: dict[str, SeriesUse]
    """All series of the study by resource name."""

    groups: tuple[FindingGroup, ...]
    sources: ReportSources
    notes: tuple[str, ...]


async def gather_inputs(
    storage: StorageClient,
    analysis: analysis_service_pb2_grpc.AnalysisServiceAsyncStub,
    request: reporting_service_pb2.CreateReportRequest,
) -> ReportInputs:
    """Findings, series, instances and identity of the study.

    Raises
    ------
    NotFound
        If the study is not stored.
    Unavailable
        If storage or analysis do not answer.
    """
    study = await storage.get_study(request.study)
    findings, notes = await _findings(analysis, request)
    series = {each.name: each async for each in storage.search_series(request.study)}
    uses = series_uses(list(series.values()))
    groups = group_findings(findings, uses)
    segmentations = await _segmentations(storage, request, groups)
    groups = await PlaceFinder(storage, segmentations).placed(groups)
    sources = ReportSources(
        identity=study_identity(study, await _header(storage, groups)),
        segmentations=segmentations,
        instances=await _instances(storage, groups),
        frames_of_reference={name: each.frame_of_reference_uid for name, each in series.items()},
    )
    return ReportInputs(study, uses, groups, sources, notes)


async def _findings(
    analysis: analysis_service_pb2_grpc.AnalysisServiceAsyncStub, request: reporting_service_pb2.CreateReportRequest
) -> tuple[list[analysis_pb2.Finding], tuple[str, ...]]:
    """The findings of the stages, in the order of the stages; at most `MAX_FINDINGS`."""
    places = {stage.request_id: place for place, stage in enumerate(request.stages) if stage.request_id}
    if not places:
        return [], ()  # an empty filter would ask for the findings of everybody
    findings: list[analysis_pb2.Finding] = []
    token = ""
    while len(findings) <= MAX_FINDINGS:
        query = analysis_service_pb2.ListFindingsRequest(request_ids=list(places), page_size=1000, page_token=token)
        with domain_errors("analysis"):
            page = await analysis.ListFindings(query)
        findings.extend(page.findings)
        token = page.next_page_token
        if not token:
            break
    # The sort is stable: within a stage the order is that in which the findings were made.
    findings.sort(key=lambda finding: places.get(finding.request_id, len(places)))
    if len(findings) <= MAX_FINDINGS:
        return findings, ()
    return findings[:MAX_FINDINGS], (
        f"Only the first {MAX_FINDINGS} findings are shown; all are in the analysis service.",
    )


async def _header(storage: StorageClient, groups: Sequence[FindingGroup]) -> Dataset | None:
    """The header of one source image."""
    for group in groups:
        for frame in group_frames(group)[:1]:
            try:
                headers = await storage.read_headers(f"{group.series}/instances/{frame.sop_instance_uid}")
            except (NotFound, DataLoss, InvalidArgument):
                continue
            if headers:
                return headers[0].dataset
    return None


async def _segmentations(
    storage: StorageClient, request: reporting_service_pb2.CreateReportRequest, groups: Sequence[FindingGroup]
) -> dict[str, StoredInstance]:
    """The stored segmentations that findings name, by SOP Instance UID."""
    outputs = {name.rpartition("/instances/")[2]: name for stage in request.stages for name in stage.outputs}
    found: dict[str, StoredInstance] = {}
    for uid in dict.fromkeys(group.segmentation_sop_instance_uid for group in groups):
        if not uid:
            continue
        instance = await _segmentation(storage, request.study, uid, outputs.get(uid, ""))
        if instance is not None:
            found[uid] = _stored(instance)
    return found


async def _segmentation(storage: StorageClient, study: str, uid: str, name: str) -> storage_pb2.Instance | None:
    if "/instances/" in name:
        try:
            return await storage.get_instance(name)
        except NotFound:
            pass
    async for instance in storage.search_instances(study, SOPInstanceUID=uid):
        return instance
    return None


async def _instances(storage: StorageClient, groups: Sequence[FindingGroup]) -> dict[str, StoredInstance]:
    """The instances that findings rest on, by SOP Instance UID: which of them have several frames."""
    wanted = {frame.sop_instance_uid for group in groups for frame in group_frames(group)}
    found: dict[str, StoredInstance] = {}
    for series in dict.fromkeys(group.series for group in groups if group_frames(group)):
        async for instance in storage.search_instances(series):
            if instance.sop_instance_uid in wanted:
                found[instance.sop_instance_uid] = _stored(instance)
    return found


def _stored(instance: storage_pb2.Instance) -> StoredInstance:
    return StoredInstance(instance.name, instance.sop_class_uid, instance.number_of_frames)
