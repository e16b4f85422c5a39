"""Findings of the analysis service, gathered by the thing that they are about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from imaging.analysis.v1 import analysis_pb2
from imaging.stage.v1 import stage_pb2
from reporting_svc.content.chart import Chart, parse_chart
from reporting_svc.content.plain_text import clean_text
from reporting_svc.content.report_content import (
    CodedConcept,
    FindingGroup,
    Measurement,
    QualityFlag,
    SeriesUse,
    SourceFrame,
)

_GroupKey = tuple[str, ...]

_WHOLE_SERIES = frozenset({"series", "image", "images"})
"""What models call a finding about all of a series; the reader is told which series it is."""


def group_findings(
    findings: Sequence[analysis_pb2.Finding], series: Mapping[str, SeriesUse]
) -> tuple[FindingGroup, ...]:
    """The findings by tracked thing, in the order in which each thing first appears; those about whole series last.

    Findings belong together when tracking UID (or, without one, model and finding type), finding type, site, series
    and segment are the same.

    Parameters
    ----------
    findings
        In the order in which they were made.
    series
        By resource name; tells how a series is called.
    """
    grouped: dict[_GroupKey, list[analysis_pb2.Finding]] = {}
    for finding in findings:
        grouped.setdefault(_key(finding), []).append(finding)
    several_series = len({finding.series for finding in findings}) > 1
    # Statistics of all pixels say less than organs and lesions; the sort is stable.
    ordered = sorted(grouped.values(), key=lambda members: _is_of_whole_series(members[0]))
    return tuple(_group(members, series, several_series) for members in ordered)


def _is_of_whole_series(finding: analysis_pb2.Finding) -> bool:
    return finding.tracking_identifier.strip().lower() in _WHOLE_SERIES


def _key(finding: analysis_pb2.Finding) -> _GroupKey:
    tracked = finding.tracking_uid or f"{finding.model}\0{finding.tracking_identifier}"
    return (
        finding.series,
        tracked,
        finding.finding_type.scheme,
        finding.finding_type.value,
        finding.site.scheme,
        finding.site.value,
        finding.segmentation_sop_instance_uid,
        str(finding.segment_number),
    )


def _group(
    members: Sequence[analysis_pb2.Finding], series: Mapping[str, SeriesUse], several_series: bool
) -> FindingGroup:
    first = members[0]
    identifier = clean_text(first.tracking_identifier, 64)
    finding_type, site = _concept(first.finding_type), _concept(first.site)
    label = identifier or (finding_type.meaning if finding_type else "") or clean_text(first.model, 64)
    if first.series in series and _is_of_whole_series(first):
        label = series[first.series].label
    elif first.series in series and several_series:
        label = f"{label} · {series[first.series].label}"
    charts = [chart for finding in members if (chart := _chart(finding)) is not None]
    if several_series and first.series in series:
        charts = [replace(chart, title=f"{series[first.series].label}: {chart.title}") for chart in charts]
    return FindingGroup(
        label=label,
        tracking_identifier=identifier,
        tracking_uid=first.tracking_uid,
        finding_type=finding_type,
        site=site,
        series=first.series,
        segmentation_sop_instance_uid=first.segmentation_sop_instance_uid,
        segment_number=first.segment_number,
        measurements=tuple(_measurement(finding) for finding in members),
        charts=tuple(dict.fromkeys(charts)),
    )


def _measurement(finding: analysis_pb2.Finding) -> Measurement:
    value = finding.value if finding.HasField("value") else None
    line = tuple(finding.line_mm)
    return Measurement(
        name=finding.name,
        concept=_concept(finding.concept) or CodedConcept("", "", "Measurement"),
        value=value,
        unit=_concept(finding.unit) if value is not None else None,
        coded_value=_concept(finding.coded_value),
        derivation=_concept(finding.derivation),
        model=clean_text(finding.model, 64),
        model_version=clean_text(finding.model_version, 32),
        frames=tuple(SourceFrame(f.sop_instance_uid, f.sop_class_uid, max(1, f.frame_number)) for f in finding.frames),
        flags=tuple(QualityFlag(clean_text(f.code, 64), clean_text(f.message)) for f in finding.quality_flags),
        line_mm=line if len(line) == 6 and all(math.isfinite(x) for x in line) else (),
    )


def _concept(code: stage_pb2.Code) -> CodedConcept | None:
    if not code.value and not code.meaning:
        return None
    return CodedConcept(
        clean_text(code.value, 64), clean_text(code.scheme, 16), clean_text(code.meaning or code.value, 64)
    )


def _chart(finding: analysis_pb2.Finding) -> Chart | None:
    subject = clean_text(finding.tracking_identifier or finding.concept.meaning, 64)
    return parse_chart(finding.chart_json, default_title=subject)
