"""A chart as plain shapes in points, which PDF and SVG draw alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from imaging.unit_text import unit_text
from reporting_svc.content.chart import Chart
from reporting_svc.content.value_text import number_text

Role = Literal["fill", "line", "axis", "grid", "mark", "text", "title", "mark-text"]
"""What a shape is; the colours belong to the document."""

_MAX_BINS = 96
_TOWERING = 3.0
"""A bin so many times as high as the next one is cut."""

_MARK_ROOM = 0.2

_TITLE_CHAR_WIDTH = 4.9
"""Mean width of a letter of the title in points; a longer title would run into the neighbour."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 8.0, 22.0, 26.0


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; y grows upwards."""

    x: float
    y: float
    width: float
    height: float
    role: Role = "fill"


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points (x, y)."""

    points: tuple[tuple[float, float], ...]
    role: Role


@dataclass(frozen=True, slots=True)
class Label:
    """A text on its base line."""

    x: float
    y: float
    text: str
    role: Role = "text"
    anchor: Literal["start", "middle", "end"] = "middle"


@dataclass(frozen=True, slots=True)
class ChartDrawing:
    """Shapes in the order in which they are painted; origin at the lower left, in points."""

    width: float
    height: float
    description: str
    """What the chart shows, for those who cannot see it."""

    shapes: tuple[Box | Path | Label, ...]


def draw_chart(chart: Chart, width: float, height: float) -> ChartDrawing:
    """The chart in a box of that size."""
    match chart.kind:
        case "bars":
            shapes = _bars(chart, width, height)
        case "histogram":
            shapes = _curve(_shares(_trimmed(_merged(chart))), width, height)
        case "line":
            shapes = _curve(chart, width, height)
    title = Label(0, height - 9, _cut(chart.title, int(width / _TITLE_CHAR_WIDTH)), "title", "start")
    return ChartDrawing(width, height, f"{chart.title} ({chart.kind})", (*shapes, title))


def nice_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About `count` round numbers (steps of 1, 2 or 5 times a power of ten) within the range."""
    if not high > low:
        return (low,)
    raw = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(place * step, 12) for place in range(first, last + 1))


def _merged(chart: Chart) -> Chart:
    """The histogram with neighbouring bins added up, so that no bin is thinner than the eye can see."""
    size = math.ceil(len(chart.values) / _MAX_BINS)
    if size == 1:
        return chart
    values = tuple(sum(chart.values[start : start + size]) for start in range(0, len(chart.values), size))
    edges = (*chart.edges[:-1:size], chart.edges[-1])
    return replace(chart, edges=edges, values=values)


def _trimmed(chart: Chart) -> Chart:
    """The histogram without the far ends that hold less than one in 5000."""
    limit = sum(chart.values) / 5000
    first, last = 0, len(chart.values)
    while first < last - 8 and sum(chart.values[: first + 1]) < limit:
        first += 1
    while last > first + 8 and sum(chart.values[last - 1 :]) < limit:
        last -= 1
    return replace(chart, edges=chart.edges[first : last + 1], values=chart.values[first:last])


def _shares(chart: Chart) -> Chart:
    """The histogram in percent of all, which compares over images of any size."""
    total = sum(chart.values) or 1.0
    values = tuple(100 * value / total for value in chart.values)
    return replace(chart, values=values, y_label=chart.y_label or "share of voxels, %")


def _curve(chart: Chart, width: float, height: float) -> list[Box | Path | Label]:
    right, top = width - _RIGHT, height - _TOP
    low, high = chart.edges[0], chart.edges[-1]
    y_low, y_high = min(0.0, min(chart.values)), _shown_height(chart)
    y_ticks = nice_ticks(y_low, y_high if y_high > y_low else y_low + 1, 3)
    y_high = max(y_high, y_ticks[-1]) * 1.02 or 1.0
    if chart.marks:
        # Room for the names of the marks above whatever stands beside them.
        y_high += (y_high - y_low) * _MARK_ROOM

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (right - _LEFT)

    def y(value: float) -> float:
        return _BOTTOM + (value - y_low) / ((y_high - y_low) or 1.0) * (top - _BOTTOM)

    shapes: list[Box | Path | Label] = []
    for tick in y_ticks:
        shapes.append(Path(((_LEFT, y(tick)), (right, y(tick))), "grid"))
        shapes.append(Label(_LEFT - 4, y(tick) - 2.2, number_text(tick), anchor="end"))
    if chart.kind == "histogram":
        for left, next_left, value in zip(chart.edges, chart.edges[1:], chart.values, strict=False):
            shapes.append(Box(x(left), y(0), x(next_left) - x(left), y(min(value, y_high)) - y(0)))
            if value > y_high:
                shapes.append(_beside((x(left), x(next_left)), top - 6, f"{number_text(value)}, cut off", right))
    else:
        shapes.append(Path(tuple((x(a), y(b)) for a, b in zip(chart.edges, chart.values, strict=True)), "line"))
    shapes.append(Path(((_LEFT, y(0)), (right, y(0))), "axis"))
    for tick in nice_ticks(low, high, 5):
        shapes.append(Path(((x(tick), y(0)), (x(tick), y(0) - 2.5)), "axis"))
        shapes.append(Label(x(tick), _BOTTOM - 10, number_text(tick)))
    for place, name in chart.marks:
        if low <= place <= high:
            shapes.append(Path(((x(place), _BOTTOM), (x(place), top)), "mark"))
            shapes.append(_beside((x(place), x(place)), top - 6, name, right))
    unit = unit_text(chart.x_unit)
    shapes.append(Label((_LEFT + right) / 2, 4, unit or "value"))
    if chart.y_label:
        shapes.append(Label(0, height - 19, chart.y_label, anchor="start"))
    return shapes


def _beside(ends: tuple[float, float], y: float, text: str, right: float) -> Label:
    """A text to the right of what stands in the left half, and to the left of what stands in the right half."""
    if ends[1] < (_LEFT + right) / 2:
        return Label(ends[1] + 3, y, text, "mark-text", "start")
    return Label(ends[0] - 3, y, text, "mark-text", "end")


def _shown_height(chart: Chart) -> float:
    """The height of the axis: one bin that towers over all others, such as air, is cut so that the rest can be seen."""
    tallest, second = [*sorted(chart.values, reverse=True)[:2], 0.0][:2]
    if chart.kind == "histogram" and len(chart.values) > 8 and 0 < second * _TOWERING < tallest:
        return second * 1.4
    return tallest


def _bars(chart: Chart, width: float, height: float) -> list[Box | Path | Label]:
    """Lying bars, since names are longer than they are high."""
    top, name_width, value_width = height - 16, 74.0, 52.0
    row = min(18.0, (top - 4) / len(chart.values))
    full = width - name_width - value_width
    unit = unit_text(chart.x_unit)
    largest = max((abs(value) for value in chart.values), default=0.0) or 1.0
    if unit == "%":
        # The grey track is the whole: 58 % must not look like all of it.
        largest = max(largest, 100.0)
    shapes: list[Box | Path | Label] = []
    for place, (name, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        base = top - (place + 1) * row
        length = abs(value) / largest * full
        shapes.append(Label(name_width - 5, base + row / 2 - 2.2, _cut(name, 18), anchor="end"))
        shapes.append(Box(name_width, base + row * 0.16, full, row * 0.68, "grid"))
        shapes.append(Box(name_width, base + row * 0.16, length, row * 0.68))
        text = f"{number_text(value)} {unit}".strip()
        shapes.append(Label(width, base + row / 2 - 2.2, text, anchor="end"))
    return shapes


def _cut(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"
