"""The plot data of a finding as typed, bounded values."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from reporting_svc.content.plain_text import clean_text

MAX_POINTS = 4096
"""More values than this say nothing in a plot of a few centimetres; such data is refused."""

_MAX_JSON_CHARS = 1 << 20

ChartKind = Literal["histogram", "bars", "line"]


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot with one series of values.

    `histogram`: `values` are counts between neighbouring `edges` (one edge more than values).
    `bars`: one value a label. `line`: values over `edges` (as many edges as values).
    """

    kind: ChartKind
    title: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    values: tuple[float, ...]
    x_unit: str
    """UCUM unit of the edges (of the values for `bars`)."""

    y_label: str
    marks: tuple[tuple[float, str], ...] = ()
    """Places on the x axis with their names, e.g. a threshold."""


def parse_chart(chart_json: str, default_title: str = "") -> Chart | None:
    """The chart of a finding; None where there is none, or where the data make no plot.

    Taken are {"kind": "histogram", "edges": [n + 1], "counts": [n], "unit": …}, {"kind": "bars", "labels": [n],
    "values": [n], "unit": …} and {"kind": "line", "x": [n], "y": [n], "unit": …}; each may have a `title`, a
    `y_label` and `marks` ([[x, name], …]).
    """
    if not chart_json or len(chart_json) > _MAX_JSON_CHARS:
        return None
    try:
        data = json.loads(chart_json)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    title = clean_text(data.get("title") or default_title, 100)
    unit = clean_text(data.get("unit") or data.get("x_unit") or "", 40)
    y_label = clean_text(data.get("y_label") or "", 60)
    match data.get("kind"):
        case "histogram":
            edges, values = _numbers(data.get("edges")), _numbers(data.get("counts"))
            if not values or len(edges) != len(values) + 1 or min(values) < 0 or not _rising(edges):
                return None
            return Chart("histogram", title, edges, (), values, unit, y_label, _marks(data.get("marks")))
        case "bars":
            raw, values = data.get("labels"), _numbers(data.get("values"))
            if not isinstance(raw, list) or not 0 < len(values) == len(raw) <= 24:
                return None
            return Chart("bars", title, (), tuple(clean_text(label, 40) for label in raw), values, unit, y_label)
        case "line":
            edges, values = _numbers(data.get("x")), _numbers(data.get("y"))
            if len(values) < 2 or len(edges) != len(values) or not _rising(edges):
                return None
            return Chart("line", title, edges, (), values, unit, y_label, _marks(data.get("marks")))
        case _:
            return None


def _numbers(raw: Any) -> tuple[float, ...]:
    """The numbers of a list; nothing at all if one of them is no finite number or the list is too long."""
    if not isinstance(raw, list) or len(raw) > MAX_POINTS:
        return ()
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in raw):
        return ()
    try:
        numbers = tuple(float(value) for value in raw)
    except OverflowError:
        return ()
    return numbers if all(math.isfinite(value) and abs(value) < 1e30 for value in numbers) else ()


def _rising(edges: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(edges))


def _marks(raw: Any) -> tuple[tuple[float, str], ...]:
    if not isinstance(raw, list):
        return ()
    return tuple(
        (place[0], clean_text(mark[1], 30))
        for mark in raw[:4]
        if isinstance(mark, list) and len(mark) == 2 and (place := _numbers(mark[:1]))
    )
