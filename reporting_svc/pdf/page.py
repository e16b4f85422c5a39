"""What stands on every PDF page: header band, running head, footer with versions and `page n of m`."""

from __future__ import annotations

from typing import Any

from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from reporting_svc.content.report_content import DISCLAIMER, ReportContent
from reporting_svc.content.value_text import date_text, moment_text
from reporting_svc.pdf import style
from reporting_svc.pdf.font_choice import BOLD, REGULAR, shown_text


class NumberedCanvas(Canvas):  # type: ignore[misc]  # reportlab is untyped
    """A canvas that draws the footers at the end, when the number of pages is known."""

    def __init__(self, *args: Any, content: ReportContent, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._content = content
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - reportlab's name
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            draw_footer(self, self._content, number, len(self._pages))
            super().showPage()
        super().save()


def draw_header_band(canvas: Any, content: ReportContent) -> None:
    """The band at the top of the first page: title, version, time, disclaimer."""
    top = style.PAGE_HEIGHT
    canvas.saveState()
    canvas.setFillColor(style.BAND)
    canvas.rect(0, top - style.BAND_HEIGHT, style.PAGE_WIDTH, style.BAND_HEIGHT, stroke=0, fill=1)
    canvas.setFillColor(style.ACCENT)
    canvas.rect(0, top - style.BAND_HEIGHT - 2, style.PAGE_WIDTH, 2, stroke=0, fill=1)
    canvas.setFillColor(style.BAND_TEXT)
    canvas.setFont(BOLD, 18)
    canvas.drawString(style.MARGIN, top - 36, shown_text(content.title))
    canvas.setFillColor(style.BAND_MUTED)
    canvas.setFont(REGULAR, 8.6)
    canvas.drawString(style.MARGIN, top - 52, shown_text(version_line(content)))
    canvas.setFillColor(style.BAND_MUTED if content.verified is None else style.BAND_TEXT)
    canvas.setFont(REGULAR if content.verified is None else BOLD, 8.6)
    canvas.drawString(style.MARGIN, top - 64.5, fitted(shown_text(content.state_line), 8.6, style.CONTENT_WIDTH, BOLD))
    width = stringWidth(DISCLAIMER, BOLD, 8.6) + 18
    left = style.PAGE_WIDTH - style.MARGIN - width
    canvas.setStrokeColor(style.BAND_TEXT)
    canvas.setLineWidth(0.9)
    canvas.roundRect(left, top - 45, width, 19, 9.5, stroke=1, fill=0)
    canvas.setFillColor(style.BAND_TEXT)
    canvas.setFont(BOLD, 8.6)
    canvas.drawString(left + 9, top - 38.4, DISCLAIMER)
    canvas.restoreState()


def draw_running_head(canvas: Any, content: ReportContent) -> None:
    """Who and what, at the top of every page but the first: a loose sheet must still tell whose it is."""
    base = style.PAGE_HEIGHT - 10.5 * mm
    patient = " · ".join(
        part for part in (content.patient.name, content.patient.patient_id, date_text(content.study.study_date)) if part
    )
    canvas.saveState()
    canvas.setFont(REGULAR, 7.4)
    canvas.setFillColor(style.MUTED)
    right = shown_text(content.title)
    canvas.drawRightString(style.PAGE_WIDTH - style.MARGIN, base, right)
    room = style.CONTENT_WIDTH - stringWidth(right, REGULAR, 7.4) - 12
    canvas.drawString(style.MARGIN, base, fitted(shown_text(patient), 7.4, room))
    canvas.setStrokeColor(style.HAIRLINE)
    canvas.setLineWidth(0.6)
    canvas.line(style.MARGIN, base - 5, style.PAGE_WIDTH - style.MARGIN, base - 5)
    canvas.restoreState()


def draw_footer(canvas: Any, content: ReportContent, number: int, total: int) -> None:
    """Disclaimer, versions of report, software and models, and the page's number."""
    base = 9.5 * mm
    right = style.PAGE_WIDTH - style.MARGIN
    canvas.saveState()
    canvas.setStrokeColor(style.HAIRLINE)
    canvas.setLineWidth(0.6)
    canvas.line(style.MARGIN, base + 15, right, base + 15)
    canvas.setFillColor(style.WARNING)
    canvas.setFont(BOLD, 7)
    canvas.drawString(style.MARGIN, base + 5.5, DISCLAIMER)
    canvas.setFillColor(style.MUTED)
    canvas.setFont(REGULAR, 6.6)
    left = style.MARGIN + stringWidth(DISCLAIMER, BOLD, 7) + 6
    canvas.drawString(left, base + 5.5, fitted(shown_text(content.disclaimer_detail), 6.6, right - left))
    page = f"Page {number} of {total}"
    room = style.CONTENT_WIDTH - stringWidth(page, REGULAR, 6.6) - 12
    canvas.drawString(style.MARGIN, base - 4.5, fitted(shown_text(content.versions_line), 6.6, room))
    canvas.drawRightString(right, base - 4.5, page)
    canvas.restoreState()


def version_line(content: ReportContent) -> str:
    """Report version, what it replaces, and its time."""
    parts = [f"Report version {content.version}"]
    if content.provenance.predecessor is not None:
        parts.append(f"replaces version {content.provenance.predecessor.version}")
    parts.append(moment_text(content.effective_time))
    return " · ".join(parts)


def fitted(text: str, size: float, room: float, font: str = REGULAR) -> str:
    """The text, cut with `…` where it is wider than `room` points."""
    if stringWidth(text, font, size) <= room:
        return text
    while text and stringWidth(text + "…", font, size) > room:
        text = text[:-1]
    return text.rstrip(" ·") + "…"
