"""The building blocks of a PDF report: boxes, tiles, tables, notices, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Image, KeepTogether, Paragraph, Spacer, Table

from reporting_svc.content.chart import Chart
from reporting_svc.content.chart_drawing import draw_chart
from reporting_svc.content.finding_tables import Cell, FindingTable
from reporting_svc.content.report_content import Headline, KeyImage, Refusal
from reporting_svc.pdf import style
from reporting_svc.pdf.chart import chart_flowable
from reporting_svc.pdf.font_choice import REGULAR, markup

Flowable = Any
_GAP = 4 * mm


def heading(text: str) -> Flowable:
    """A section's heading; pass it to what it stands above, so that it never stands alone at the foot of a page."""
    return Paragraph(markup(text), style.HEADING)


def facts_box(columns: Sequence[Sequence[tuple[str, str]]], widths: Sequence[float], first_bold: bool) -> Flowable:
    """Labelled values in columns on a calm panel; the very first value stands out if `first_bold`."""
    cells: list[list[Flowable]] = []
    for place, column in enumerate(columns):
        parts: list[Flowable] = []
        for row, (label, value) in enumerate(column):
            bold = first_bold and place == 0 and row == 0
            parts.append(Paragraph(markup(label), style.LABEL))
            parts.append(Paragraph(markup(value or "–"), style.VALUE_BOLD if bold else style.VALUE))
            parts.append(Spacer(1, 2.5))
        cells.append(parts)
    box = Table([cells], colWidths=list(widths))
    box.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, -1), style.PANEL),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 9),
            ("RIGHTPADDING", (0, 0), (-1, -1), 6),
            ("TOPPADDING", (0, 0), (-1, -1), 7),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ("LINEBEFORE", (0, 0), (0, -1), 2.2, style.ACCENT),
            ("LINEBEFORE", (1, 0), (-1, -1), 0.5, style.HAIRLINE),
        ]
    )
    return box


def tiles(headlines: Sequence[Headline], per_row: int = 3) -> Flowable:
    """The key values, large, in rows."""
    cells: list[Any] = [_tile(headline) for headline in headlines]
    rows = [cells[start : start + per_row] for start in range(0, len(cells), per_row)]
    rows[-1] = rows[-1] + [""] * (per_row - len(rows[-1]))
    table = Table(rows, colWidths=[style.CONTENT_WIDTH / per_row] * per_row)
    commands: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 9),
        ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
    ]
    for place in range(len(cells)):
        cell = (place % per_row, place // per_row)
        commands.append(("LINEBEFORE", cell, cell, 1.4, style.ACCENT))
    table.setStyle(commands)
    return table


def finding_table(table: FindingTable, above: Sequence[Flowable] = ()) -> list[Flowable]:
    """Title, rows with numbers on the right, and numbered notes; `above` stays with them."""
    data = [[_head(cell) for cell in table.head]]
    data += [[_cell(cell) for cell in row] for row in table.rows]
    grid = Table(data, colWidths=_widths(table), repeatRows=1)
    grid.setStyle(
        [
            ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            ("VALIGN", (0, 1), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.9, style.ACCENT),
            ("LINEBELOW", (0, 1), (-1, -1), 0.4, style.HAIRLINE),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2.4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.8),
        ]
    )
    title = f"{markup(table.title)}"
    if table.subtitle:
        title += f'  <font name="{REGULAR}" size="7.2" color="#5e707b">{markup(table.subtitle)}</font>'
    head: list[Flowable] = [*above, Paragraph(title, style.TABLE_TITLE), Spacer(1, 2)]
    notes: list[Flowable] = [Paragraph(markup(note), style.SMALL) for note in table.common_notes]
    notes += [
        Paragraph(f"{_raised(str(number))} {markup(note)}", style.SMALL)
        for number, note in enumerate(table.numbered_notes, start=1)
    ]
    if notes:
        notes.insert(0, Spacer(1, 2))
    # A short table is not torn; a long one repeats its head on the next page.
    if len(data) <= 14:
        return [KeepTogether([*head, grid, *notes]), Spacer(1, 7)]
    return [CondPageBreak(40 * mm), *head, grid, *notes, Spacer(1, 7)]


def refusal_notices(refusals: Sequence[Refusal], above: Sequence[Flowable]) -> list[Flowable]:
    """What was not measured, because of what, and how to change it; `above` stays with the first."""
    notices: list[Flowable] = []
    for place, refusal in enumerate(refusals):
        parts: list[Flowable] = [Paragraph(markup(f"Not measured: {refusal.subject}"), style.NOTICE_TITLE)]
        lines = [refusal.message, f"How to fix: {refusal.hint}" if refusal.hint else ""]
        parts += [Paragraph(markup(line), style.NOTICE) for line in lines if line]
        box = Table([[parts]], colWidths=[style.CONTENT_WIDTH])
        box.setStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), style.WARNING_PANEL),
                ("LINEBEFORE", (0, 0), (0, -1), 2.2, style.WARNING),
                ("LEFTPADDING", (0, 0), (-1, -1), 9),
                ("TOPPADDING", (0, 0), (-1, -1), 4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
            ]
        )
        notices.append(KeepTogether([*(() if place else above), box, Spacer(1, 4)]))
    return notices


def key_images(images: Sequence[KeyImage], above: Sequence[Flowable]) -> list[Flowable]:
    """The key images with their captions: two in a row, or three where that fills the rows better.

    `above` stays with the first row.
    """
    per_row = 2 if len(images) in (1, 2, 4) else 3
    column = (style.CONTENT_WIDTH - (per_row - 1) * _GAP) / per_row
    rows: list[Flowable] = []
    for start in range(0, len(images), per_row):
        cells: list[Any] = [_picture(image, column) for image in images[start : start + per_row]]
        cells += [""] * (per_row - len(cells))
        row = Table([cells], colWidths=[column + _GAP] * (per_row - 1) + [column])
        row.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 0),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
            ]
        )
        rows.append(KeepTogether([row] if start else [*above, row]))
    return rows


def charts(items: Sequence[Chart], above: Sequence[Flowable]) -> list[Flowable]:
    """Two charts in a row; `above` stays with the first row."""
    column = (style.CONTENT_WIDTH - _GAP) / 2
    rows: list[Flowable] = []
    for start in range(0, len(items), 2):
        cells: list[Any] = [chart_flowable(draw_chart(chart, column, 118)) for chart in items[start : start + 2]]
        cells += [""] * (2 - len(cells))
        row = Table([cells], colWidths=[column + _GAP, column])
        row.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 0),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
            ]
        )
        rows.append(KeepTogether([row] if start else [*above, row]))
    return rows


def plain_rows(rows: Sequence[tuple[str, str]], label_width: float = 36 * mm) -> Flowable:
    """Small print: a label and a value a line."""
    data = [[Paragraph(markup(label), style.SMALL), Paragraph(markup(value), style.SMALL_INK)] for label, value in rows]
    table = Table(data, colWidths=[label_width, style.CONTENT_WIDTH - label_width])
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1.2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.6),
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, style.HAIRLINE),
        ]
    )
    return table


def _tile(headline: Headline) -> list[Flowable]:
    unit = f' <font name="{REGULAR}" size="9.5">{markup(headline.unit)}</font>' if headline.unit else ""
    mark = ' <font size="9" color="#a85b00">*</font>' if headline.flagged else ""
    return [
        Paragraph(f"{markup(headline.value)}{unit}{mark}", style.TILE_VALUE),
        Paragraph(markup(headline.label), style.TILE_LABEL),
        Paragraph(markup(headline.subject), style.SMALL),
    ]


def _picture(image: KeyImage, column: float) -> list[Flowable]:
    scale = min(column / image.width, 88 * mm / image.height)
    parts: list[Flowable] = [
        Image(BytesIO(image.png), width=image.width * scale, height=image.height * scale, hAlign="LEFT"),
        Spacer(1, 3),
        Paragraph(markup(image.title), style.CAPTION_TITLE),
        Paragraph(markup(image.caption), style.CAPTION),
    ]
    if image.legend:
        names = "   ".join(
            f'<font color="#{r:02x}{g:02x}{b:02x}">■</font> {markup(name)}' for name, (r, g, b) in image.legend
        )
        parts.append(Paragraph(names, style.CAPTION))
    return parts


def _head(cell: Cell) -> Flowable:
    unit = f"<br/>{markup(cell.unit)}" if cell.unit else ""
    chosen = style.TABLE_HEAD_RIGHT if cell.numeric else style.TABLE_HEAD
    return Paragraph(markup(cell.text) + unit, chosen)


def _cell(cell: Cell) -> Flowable:
    marks = _raised(",".join(map(str, cell.marks))) if cell.marks else ""
    return Paragraph(markup(cell.text) + marks, style.BODY_RIGHT if cell.numeric else style.BODY)


def _raised(text: str) -> str:
    """Small and a little higher, in the colour of what needs attention."""
    return f'<super rise="2.6" size="5.6"><font color="#a85b00">{text}</font></super>'


def _widths(table: FindingTable) -> list[float]:
    """Room for the names first, the rest for the numbers; a list of three columns is set narrow, for the eye."""
    count = len(table.head)
    if table.is_list:
        name, value = 0.42 * style.CONTENT_WIDTH, 0.2 * style.CONTENT_WIDTH
        return [name, value, style.CONTENT_WIDTH - name - value]
    turned = not table.head[-1].numeric
    last = 0.08 * style.CONTENT_WIDTH if turned else 0.0
    first = (0.32 if turned else max(0.24, 0.5 - 0.055 * count)) * style.CONTENT_WIDTH
    numbers = count - (2 if last else 1)
    middle = [(style.CONTENT_WIDTH - first - last) / numbers] * numbers
    return [first, *middle, *([last] if last else [])]
