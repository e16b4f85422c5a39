"""Charts as inline SVG; the colours come from the page's style sheet, so that dark mode and print have their own."""

from __future__ import annotations

from markupsafe import Markup, escape

from reporting_svc.content.chart_drawing import Box, ChartDrawing, Label, Path


def chart_svg(drawing: ChartDrawing) -> Markup:
    """The `<svg>` element, every text escaped; SVG's y grows downwards."""
    height = drawing.height
    parts = [
        Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" aria-label="{}">').format(
            _n(drawing.width), _n(height), drawing.description
        )
    ]
    for shape in drawing.shapes:
        match shape:
            case Box():
                parts.append(
                    Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                        shape.role,
                        _n(shape.x),
                        _n(height - shape.y - shape.height),
                        _n(max(0.0, shape.width)),
                        _n(max(0.0, shape.height)),
                    )
                )
            case Path():
                points = " ".join(f"{_n(x)},{_n(height - y)}" for x, y in shape.points)
                parts.append(Markup('<polyline class="{}" points="{}"/>').format(shape.role, points))
            case Label():
                parts.append(
                    Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                        shape.role, _n(shape.x), _n(height - shape.y), shape.anchor, escape(shape.text)
                    )
                )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
