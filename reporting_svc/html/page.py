"""The report as one self-contained HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reporting_svc.content.chart_drawing import draw_chart
from reporting_svc.content.finding_tables import finding_tables
from reporting_svc.content.provenance_rows import provenance_rows
from reporting_svc.content.report_content import DISCLAIMER, KeyImage, ReportContent
from reporting_svc.content.value_text import age_text, date_text, time_text
from reporting_svc.html.chart import chart_svg
from reporting_svc.pdf.page import version_line

_CHART_SIZE = (330.0, 150.0)


@dataclass(frozen=True, slots=True)
class _Picture:
    image: KeyImage
    uri: str
    legend: tuple[tuple[str, str], ...]
    """Name and CSS colour."""


def render_html(content: ReportContent) -> bytes:
    """The page as UTF-8; the same bytes for the same content. Every value in it is escaped by the template engine."""
    patient, study = content.patient, content.study
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            content=content,
            disclaimer=DISCLAIMER,
            version_line=version_line(content),
            birth=date_text(patient.birth_date),
            age=age_text(patient.birth_date, study.study_date),
            study_moment=" ".join(part for part in (date_text(study.study_date), time_text(study.study_time)) if part),
            tables=finding_tables(content.groups),
            charts=[chart_svg(draw_chart(chart, *_CHART_SIZE)) for group in content.groups for chart in group.charts],
            pictures=[_picture(image) for image in content.key_images],
            provenance=provenance_rows(content),
            versions=content.versions_line,
        )
    )
    return page.encode("utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("reporting_svc", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _picture(image: KeyImage) -> _Picture:
    # Base64 letters and a constant head: nothing of it can end the attribute.
    uri = Markup("data:image/png;base64,") + Markup(base64.b64encode(image.png).decode("ascii"))
    legend = tuple((name, f"rgb({red}, {green}, {blue})") for name, (red, green, blue) in image.legend)
    return _Picture(image, uri, legend)
