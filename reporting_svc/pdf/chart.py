"""Charts as vector graphics of a PDF page."""

from __future__ import annotations

from reportlab.graphics.shapes import Drawing, PolyLine, Rect, String
from reportlab.lib.colors import Color

from reporting_svc.content.chart_drawing import Box, ChartDrawing, Label, Path, Role
from reporting_svc.pdf import style as pdf_style
from reporting_svc.pdf.font_choice import BOLD, REGULAR, shown_text

_COLOURS: dict[Role, Color] = {
    "fill": pdf_style.ACCENT,
    "line": pdf_style.ACCENT,
    "axis": pdf_style.MUTED,
    "grid": pdf_style.HAIRLINE,
    "mark": pdf_style.WARNING,
    "mark-text": pdf_style.WARNING,
    "text": pdf_style.MUTED,
    "title": pdf_style.INK,
}
_WIDTHS: dict[Role, float] = {"line": 1.2, "axis": 0.6, "grid": 0.4, "mark": 0.8}


def chart_flowable(drawing: ChartDrawing) -> Drawing:
    """The drawing as a flowable of the same size."""
    page = Drawing(drawing.width, drawing.height)
    for shape in drawing.shapes:
        colour = _COLOURS[shape.role]
        match shape:
            case Box():
                page.add(Rect(shape.x, shape.y, shape.width, shape.height, fillColor=colour, strokeColor=None))
            case Path():
                page.add(
                    PolyLine(
                        [place for point in shape.points for place in point],
                        strokeColor=colour,
                        strokeWidth=_WIDTHS.get(shape.role, 0.6),
                        strokeDashArray=[3, 2] if shape.role == "mark" else None,
                    )
                )
            case Label():
                page.add(_text(shape, colour))
    return page


def _text(label: Label, colour: Color) -> String:
    title = label.role == "title"
    return String(
        label.x,
        label.y,
        # A chart is drawn with one font; a sign that it lacks is shown as replaced.
        shown_text(label.text),
        fontName=BOLD if title else REGULAR,
        fontSize=8 if title else 6.5,
        fillColor=colour,
        textAnchor=label.anchor,
    )
