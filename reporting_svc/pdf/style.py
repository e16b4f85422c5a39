"""Colours, sizes and paragraph styles of the PDF documents."""

from __future__ import annotations

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm

from reporting_svc.pdf.font_choice import BOLD, REGULAR

PAGE_WIDTH, PAGE_HEIGHT = A4
MARGIN = 16 * mm
CONTENT_WIDTH = PAGE_WIDTH - 2 * MARGIN
BAND_HEIGHT = 27 * mm
"""The header band of the first page."""

RUNNING_HEAD_HEIGHT = 13 * mm
FOOTER_HEIGHT = 19 * mm

INK = HexColor("#1b2a33")
MUTED = HexColor("#5e707b")
HAIRLINE = HexColor("#d9e1e5")
PANEL = HexColor("#f3f6f8")
BAND = HexColor("#173b4d")
BAND_TEXT = HexColor("#ffffff")
BAND_MUTED = HexColor("#b9d0da")
ACCENT = HexColor("#2b7a92")
WARNING = HexColor("#a85b00")
WARNING_PANEL = HexColor("#fdf4e3")


def _style(name: str, size: float, *, bold: bool = False, colour: object = INK, **more: object) -> ParagraphStyle:
    settings: dict[str, object] = {"leading": size * 1.36, **more}
    return ParagraphStyle(name, fontName=BOLD if bold else REGULAR, fontSize=size, textColor=colour, **settings)


BODY = _style("body", 8.6)
BODY_RIGHT = _style("body-right", 8.6, alignment=TA_RIGHT)
SMALL = _style("small", 7.2, colour=MUTED)
SMALL_INK = _style("small-ink", 7.2)
LABEL = _style("label", 6.8, colour=MUTED)
VALUE = _style("value", 9.2)
VALUE_BOLD = _style("value-bold", 10.6, bold=True)
HEADING = _style("heading", 11.5, bold=True, colour=BAND, spaceBefore=10, spaceAfter=4)
TABLE_TITLE = _style("table-title", 9.2, bold=True, keepWithNext=1)
TABLE_HEAD = _style("table-head", 7.2, colour=MUTED)
TABLE_HEAD_RIGHT = _style("table-head-right", 7.2, colour=MUTED, alignment=TA_RIGHT)
TILE_VALUE = _style("tile-value", 17, bold=True, colour=BAND, leading=20)
TILE_LABEL = _style("tile-label", 7.6)
NOTICE_TITLE = _style("notice-title", 8.8, bold=True, colour=WARNING)
NOTICE = _style("notice", 8.2)
CAPTION = _style("caption", 7.0, colour=MUTED)
CAPTION_TITLE = _style("caption-title", 8.0, bold=True)
