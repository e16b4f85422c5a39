"""The report as a PDF document."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Frame, NextPageTemplate, PageTemplate, Paragraph, Spacer

from reporting_svc.content.finding_tables import finding_tables
from reporting_svc.content.provenance_rows import provenance_rows
from reporting_svc.content.report_content import ReportContent
from reporting_svc.content.value_text import age_text, date_text, time_text
from reporting_svc.pdf import blocks, style
from reporting_svc.pdf.font_choice import is_shown, markup, register_fonts
from reporting_svc.pdf.page import NumberedCanvas, draw_header_band, draw_running_head

_FONT_NOTE = (
    "Some signs of this document have no font here and are shown as �. "
    "The HTML form and the structured report hold them."
)


def render_pdf(content: ReportContent) -> bytes:
    """The PDF; the same bytes for the same content."""
    register_fonts()
    buffer = BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=(style.PAGE_WIDTH, style.PAGE_HEIGHT),
        # No patient data here: file managers and search engines show these.
        title=content.title,
        author=content.provenance.software,
        subject=f"Report version {content.version}",
        creator=content.provenance.software,
        lang="en",
        # reportlab then takes neither clock nor chance for dates and IDs.
        invariant=1,
        pageCompression=1,
    )
    document.addPageTemplates(
        [
            _page("first", style.BAND_HEIGHT + 5 * mm, partial(_on_page, draw_header_band, content)),
            _page("later", style.RUNNING_HEAD_HEIGHT + 3 * mm, partial(_on_page, draw_running_head, content)),
        ]
    )
    document.build(_story(content), canvasmaker=partial(NumberedCanvas, content=content))
    return buffer.getvalue()


def _page(name: str, top: float, on_page: Any) -> PageTemplate:
    height = style.PAGE_HEIGHT - top - style.FOOTER_HEIGHT
    frame = Frame(style.MARGIN, style.FOOTER_HEIGHT, style.CONTENT_WIDTH, height, 0, 0, 0, 0, id=name)
    return PageTemplate(id=name, frames=[frame], onPage=on_page)


def _on_page(draw: Any, content: ReportContent, canvas: Any, _document: Any) -> None:
    draw(canvas, content)


def _story(content: ReportContent) -> list[Any]:
    story: list[Any] = [NextPageTemplate("later"), _identity_box(content)]
    story += _key_findings(content)
    if content.refusals:
        story += blocks.refusal_notices(content.refusals, [blocks.heading("Not measured")])
    if content.key_images:
        story += blocks.key_images(content.key_images, [blocks.heading("Key images")])
    for place, table in enumerate(finding_tables(content.groups)):
        story += blocks.finding_table(table, () if place else [blocks.heading("Measurements")])
    charts = [chart for group in content.groups for chart in group.charts]
    if charts:
        story += blocks.charts(charts, [blocks.heading("Distributions")])
    story += [CondPageBreak(42 * mm), blocks.heading("How this report was made")]
    story.append(blocks.plain_rows(provenance_rows(content)))
    return story


def _identity_box(content: ReportContent) -> Any:
    patient, study = content.patient, content.study
    age = age_text(patient.birth_date, study.study_date)
    birth = date_text(patient.birth_date)
    moment = " ".join(part for part in (date_text(study.study_date), time_text(study.study_time)) if part)
    third = style.CONTENT_WIDTH / 3
    return blocks.facts_box(
        [
            [
                ("Patient", patient.name),
                ("Patient ID", patient.patient_id),
                ("Born · sex", " · ".join(p for p in (f"{birth} ({age})" if age else birth, patient.sex) if p)),
            ],
            [
                ("Study", study.description),
                ("Study date", moment),
                ("Modality", ", ".join(study.modalities)),
            ],
            [
                ("Accession number", study.accession_number),
                ("Referring physician", study.referring_physician),
                ("Study ID", study.study_id),
            ],
        ],
        [third * 1.2, third * 1.0, third * 0.8],
        first_bold=True,
    )


def _key_findings(content: ReportContent) -> list[Any]:
    notes = list(content.notes)
    if not all(is_shown(text) for text in _identifying_texts(content)):
        notes.append(_FONT_NOTE)
    story: list[Any] = [blocks.heading("Key findings")]
    if content.headlines:
        story += [Spacer(1, 2), blocks.tiles(content.headlines)]
        if any(headline.flagged for headline in content.headlines):
            story.append(Paragraph("* with a note on its quality, see the table below", style.SMALL))
    else:
        story.append(Paragraph("Nothing was measured in this study.", style.BODY))
    if notes:
        story += [Spacer(1, 5), *(Paragraph(markup(note), style.SMALL) for note in notes)]
    return story


def _identifying_texts(content: ReportContent) -> tuple[str, ...]:
    return (
        content.patient.name,
        content.patient.patient_id,
        content.study.description,
        content.study.referring_physician,
    )
