"""Builds the content of a report from what storage, analysis and the run tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final

from imaging.derived.equipment import product_equipment
from imaging.reporting.v1 import reporting_service_pb2
from imaging.storage.v1 import storage_pb2
from reporting_svc.content.headlines import choose_headlines
from reporting_svc.content.plain_text import clean_text, person_name
from reporting_svc.content.report_content import (
    FindingGroup,
    KeyImage,
    PatientHeader,
    Predecessor,
    Provenance,
    Refusal,
    ReportContent,
    SeriesUse,
    StageRow,
    StudyHeader,
)
from reporting_svc.content.report_template import ReportTemplate

MAX_CHARTS: Final = 24
"""Four pages of plots; nobody looks at more."""


@dataclass(frozen=True, slots=True)
class ReportIdentity:
    """Which report of the study this is."""

    name: str
    """`reports/{id}`."""

    version: int
    predecessor: Predecessor | None
    trace_id: str = ""


def series_uses(series: Sequence[storage_pb2.Series]) -> dict[str, SeriesUse]:
    """The series by resource name, with cleaned texts."""
    return {
        each.name: SeriesUse(
            series_instance_uid=each.series_instance_uid,
            number=each.series_number if each.HasField("series_number") else None,
            modality=clean_text(each.modality, 16),
            description=clean_text(each.series_description, 64),
            instance_count=each.instance_count,
            derived=each.origin.kind == storage_pb2.Origin.KIND_DERIVED,
        )
        for each in series
    }


def assemble_content(
    *,
    request: reporting_service_pb2.CreateReportRequest,
    study: storage_pb2.Study,
    series: Mapping[str, SeriesUse],
    groups: Sequence[FindingGroup],
    template: ReportTemplate,
    identity: ReportIdentity,
    key_images: Sequence[KeyImage] = (),
    notes: Sequence[str] = (),
) -> ReportContent:
    """The whole report as data; every text in it is cleaned and bounded.

    Parameters
    ----------
    series
        All series of the study, by resource name.
    """
    shown, chart_notes = _with_few_charts(groups)
    return ReportContent(
        title=template.title,
        version=identity.version,
        effective_time=request.context.effective_time.ToDatetime(tzinfo=UTC),
        patient=PatientHeader(
            name=person_name(study.patient_name),
            patient_id=clean_text(study.patient_id, 64),
            birth_date=clean_text(study.patient_birth_date, 16),
            sex=clean_text(study.patient_sex, 16),
        ),
        study=StudyHeader(
            study_instance_uid=study.study_instance_uid,
            study_date=clean_text(study.study_date, 16),
            study_time=clean_text(study.study_time, 16),
            accession_number=clean_text(study.accession_number, 32),
            study_id=clean_text(study.study_id, 32),
            description=clean_text(study.study_description, 100),
            # Those of the images that were sent: our own results must not change what a second attempt writes.
            modalities=tuple(sorted({each.modality for each in series.values() if not each.derived and each.modality})),
            referring_physician=person_name(study.referring_physician_name),
        ),
        headlines=choose_headlines(groups, template),
        groups=shown,
        refusals=_refusals(request.stages),
        key_images=tuple(key_images),
        notes=tuple(clean_text(note) for note in (*notes, *chart_notes)),
        provenance=_provenance(request, study, series, identity),
    )


def _with_few_charts(groups: Sequence[FindingGroup]) -> tuple[tuple[FindingGroup, ...], tuple[str, ...]]:
    """The groups with at most `MAX_CHARTS` charts in all, and a note where some are left out."""
    left = MAX_CHARTS
    shown: list[FindingGroup] = []
    for group in groups:
        shown.append(replace(group, charts=group.charts[:left]))
        left -= len(shown[-1].charts)
    if sum(len(group.charts) for group in groups) <= MAX_CHARTS:
        return tuple(shown), ()
    return tuple(shown), (f"Only the first {MAX_CHARTS} charts are shown.",)


def _refusals(stages: Sequence[reporting_service_pb2.StageSummary]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            stage=clean_text(stage.stage, 64),
            subject=clean_text(refusal.subject, 64),
            rule=clean_text(refusal.rule, 64),
            message=clean_text(refusal.message),
            hint=clean_text(refusal.hint),
        )
        for stage in stages
        for refusal in stage.refusals
    )


def _provenance(
    request: reporting_service_pb2.CreateReportRequest,
    study: storage_pb2.Study,
    series: Mapping[str, SeriesUse],
    identity: ReportIdentity,
) -> Provenance:
    maker = product_equipment()
    # The study may have a newer manifest by now; then its digest says nothing about this report.
    current = study.manifest.version == request.manifest_version
    used = dict.fromkeys(stage.series for stage in request.stages if stage.series in series)
    return Provenance(
        report=identity.name,
        run=request.context.run,
        recipe=clean_text(request.recipe, 64),
        template=clean_text(request.template, 64),
        manifest_version=request.manifest_version,
        manifest_digest=study.manifest.digest if current else "",
        received_instances=study.manifest.instance_count if current else 0,
        software=f"{maker.model_name} {maker.software_version}",
        trace_id=identity.trace_id,
        stages=tuple(
            StageRow(
                stage=clean_text(stage.stage, 64),
                algorithm=clean_text(stage.algorithm, 64),
                request_id=clean_text(stage.request_id, 128),
                series_label=series[stage.series].label if stage.series in series else "",
                output_count=len(stage.outputs),
            )
            for stage in request.stages
        ),
        series=tuple(series[name] for name in used),
        predecessor=identity.predecessor,
    )
