"""The fonts of the PDF documents, and which of them shows which sign.

Latin, Greek and Cyrillic are embedded. Chinese, Japanese and Korean use the fonts that every PDF viewer brings for them
(Adobe's CID fonts, PDF 32000 9.7.5.2). Scripts that need shaping are not drawn wrongly but replaced.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from io import BytesIO
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

REGULAR = "ReportSans"
BOLD = "ReportSans-Bold"

_REPLACEMENT = "\ufffd"

_CID_FONTS = (("HeiseiKakuGo-W5", "shift_jis"), ("STSong-Light", "gbk"), ("HYGothic-Medium", "euc_kr"))
"""Fonts with the character set that each surely holds."""


@cache
def register_fonts() -> frozenset[str]:
    """Makes the fonts known to reportlab, once; the signs that the embedded font has."""
    signs: frozenset[str] = frozenset()
    for name, file in ((REGULAR, "NotoSans-Regular.ttf"), (BOLD, "NotoSans-Bold.ttf")):
        content = resources.files("reporting_svc").joinpath("fonts", file).read_bytes()
        font = TTFont(name, BytesIO(content))
        pdfmetrics.registerFont(font)
        signs = frozenset(chr(code) for code in font.face.charToGlyph)
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    for name, _ in _CID_FONTS:
        pdfmetrics.registerFont(UnicodeCIDFont(name))
    return signs


def markup(text: str) -> str:
    """The text as reportlab's paragraph XML: escaped, every sign in a font that has it."""
    parts: list[str] = []
    for font, run in _runs(text):
        parts.append(escape(run) if font is None else f'<font name="{font}">{escape(run)}</font>')
    return "".join(parts)


def shown_text(text: str) -> str:
    """The text with every sign that the embedded font lacks replaced, for places that take one font only."""
    signs = register_fonts()
    return "".join(sign if sign in signs else _REPLACEMENT for sign in text)


def is_shown(text: str) -> bool:
    """True if every sign of the text has a font here."""
    return all(_font_of(sign) != "" for sign in text if sign != _REPLACEMENT)


def _runs(text: str) -> list[tuple[str | None, str]]:
    """The text as (font, run); None: the font of the paragraph."""
    runs: list[tuple[str | None, str]] = []
    for sign in text:
        font = _font_of(sign)
        shown = _REPLACEMENT if font == "" else sign
        key = font or None
        if runs and runs[-1][0] == key:
            runs[-1] = (key, runs[-1][1] + shown)
        else:
            runs.append((key, shown))
    return runs


@cache
def _font_of(sign: str) -> str | None:
    """None: the embedded font; the name of a CID font; empty: no font has it."""
    if sign in register_fonts():
        return None
    for name, charset in _CID_FONTS:
        try:
            sign.encode(charset)
        except UnicodeEncodeError:
            continue
        return name
    return ""
