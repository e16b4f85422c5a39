"""The figures as bars, drawn by reportlab: an SVG for each."""

from __future__ import annotations

from pathlib import Path

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib.colors import HexColor

from benchmarks.figure import Figure

_WIDTH, _BAR, _LEFT, _SPAN = 460, 22, 90, 280
_COLOURS = {"ours": HexColor("#1f6f8b"), "peer": HexColor("#a8a8a8")}

_PEERS = {"frames_of_limit": "limit", "search_p99_growth": "10^4", "search_work_growth": "10^4"}
"""What stands in the peer's place."""


def draw(figure: Figure, folder: Path) -> Path:
    """The file with the picture of one figure."""
    bars = {"ours": figure.ours} | ({} if figure.peer is None else {"peer": figure.peer})
    height = 40 + (_BAR + 8) * len(bars)
    drawing = Drawing(_WIDTH, height)
    drawing.add(String(8, height - 20, f"{figure.name} ({figure.unit})", fontName="Helvetica-Bold", fontSize=12))
    most = max(bars.values()) or 1.0
    for index, (side, value) in enumerate(bars.items()):
        bottom = height - 34 - (index + 1) * _BAR - index * 8
        label = _PEERS.get(figure.name, side) if side == "peer" else side
        drawing.add(String(8, bottom + 7, label, fontName="Helvetica", fontSize=10))
        drawing.add(Rect(_LEFT, bottom, _SPAN * value / most, _BAR, fillColor=_COLOURS[side], strokeColor=None))
        text = f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
        drawing.add(String(_LEFT + _SPAN * value / most + 6, bottom + 7, text, fontName="Helvetica", fontSize=10))
    path = folder / f"{figure.name}.svg"
    renderSVG.drawToFile(drawing, str(path))
    return path
