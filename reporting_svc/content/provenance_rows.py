"""Where a report comes from, as lines of small print that PDF and HTML show alike."""

from __future__ import annotations

from reporting_svc.content.plain_text import clean_text
from reporting_svc.content.report_content import DISCLAIMER, ReportContent, SeriesUse
from reporting_svc.content.value_text import moment_text


def provenance_rows(content: ReportContent) -> tuple[tuple[str, str], ...]:
    """Label and value, in reading order; lines with nothing to tell are left out."""
    source = content.provenance
    rows: list[tuple[str, str]] = [("Study Instance UID", content.study.study_instance_uid)]
    rows += [("Series measured", _series_line(series)) for series in source.series]
    manifest = f"version {source.manifest_version}"
    if source.received_instances:
        manifest += f", {_count(source.received_instances, 'received instance')}"
    if source.manifest_digest:
        manifest += f", SHA-256 {source.manifest_digest}"
    rows.append(("Input", manifest))
    for stage in source.stages:
        parts = (stage.algorithm, stage.series_label)
        rows.append((f"Stage {stage.stage}", " · ".join(part for part in parts if part)))
    rows += [
        ("Recipe", source.recipe),
        ("Run", source.run),
        ("Report", f"{source.report}, version {content.version}, template {source.template}"),
        ("Made", moment_text(content.effective_time)),
        ("Software", source.software),
        ("Models", ", ".join(content.models)),
        ("Trace", source.trace_id),
    ]
    if source.predecessor is not None:
        rows.append(("Replaces", f"{source.predecessor.report}, version {source.predecessor.version}"))
    rows += [("State", content.state_line), (DISCLAIMER, content.disclaimer_detail)]
    # A line of the table must fit on a page, however many models there are.
    return tuple((label, clean_text(value, 1000)) for label, value in rows if value)


def _series_line(series: SeriesUse) -> str:
    made = ", derived" if series.derived else ""
    size = _count(series.instance_count, "instance")
    return f"{series.label} ({series.modality}, {size}{made}), {series.series_instance_uid}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
