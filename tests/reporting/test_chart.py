"""Plot data is checked, and becomes shapes inside the box."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting_svc.content.chart import Chart, parse_chart
from reporting_svc.content.chart_drawing import Box, Label, Path, draw_chart, nice_ticks
from reporting_svc.html.chart import chart_svg

_NUMBER = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[]",
        "null",
        '{"kind": "pie"}',
        '{"kind": "histogram", "edges": [0, 1], "counts": [1, 2]}',
        '{"kind": "histogram", "edges": [0, 1, 1], "counts": [1, 2]}',
        '{"kind": "histogram", "edges": [0, 1, 2], "counts": [1, -2]}',
        '{"kind": "histogram", "edges": [0, 1, 2], "counts": [1, NaN]}',
        '{"kind": "histogram", "edges": [0, 1, 2], "counts": [1, "2"]}',
        '{"kind": "bars", "labels": "ab", "values": [1, 2]}',
        '{"kind": "line", "x": [1], "y": [1]}',
        '{"kind": "line", "x": [1, 1e999], "y": [1, 2]}',
        "[" * 100_000,
        json.dumps({"kind": "line", "x": list(range(5000)), "y": list(range(5000))}),
    ],
)
def test_data_that_makes_no_plot_is_left_out(data: str) -> None:
    assert parse_chart(data) is None


@given(st.recursive(st.none() | st.booleans() | _NUMBER | st.text(max_size=8), lambda x: st.lists(x, max_size=4)))
def test_odd_values_never_raise(value: object) -> None:
    for kind in ("histogram", "bars", "line"):
        keys = ("edges", "counts", "labels", "values", "x", "y", "unit", "title", "marks")
        parse_chart(json.dumps({"kind": kind, **dict.fromkeys(keys, value)}))


@given(
    st.sampled_from(["histogram", "line"]),
    st.lists(st.integers(0, 10**9), min_size=2, max_size=300),
    st.floats(-5000, 5000),
    st.floats(0.001, 100),
)
def test_shapes_stay_inside_the_box(kind: str, values: list[int], start: float, step: float) -> None:
    count = len(values) + (kind == "histogram")
    edges = [start + step * place for place in range(count)]
    if kind == "histogram":
        data = {"kind": kind, "edges": edges, "counts": values, "unit": "[hnsf'U]", "marks": [[start, "here"]]}
    else:
        data = {"kind": kind, "x": edges, "y": values}
    chart = parse_chart(json.dumps(data))
    assert chart is not None
    drawing = draw_chart(chart, 240, 118)
    for shape in drawing.shapes:
        match shape:
            case Box():
                assert -0.1 <= shape.x <= shape.x + shape.width <= 240.1
                assert -0.1 <= shape.y <= shape.y + shape.height <= 118.1
            case Path():
                assert all(-0.1 <= x <= 240.1 and -0.1 <= y <= 118.1 for x, y in shape.points)
            case Label():
                assert 0 <= shape.y <= 118


def test_the_bars_of_a_histogram_add_up_to_all() -> None:
    chart = parse_chart(json.dumps({"kind": "histogram", "edges": list(range(201)), "counts": [1] * 200}))
    assert chart is not None
    boxes = [shape for shape in draw_chart(chart, 240, 118).shapes if isinstance(shape, Box)]
    assert len(boxes) <= 96
    assert sum(box.width for box in boxes) == pytest.approx(240 - 34 - 8)


def test_a_bin_that_towers_over_all_others_is_cut_and_labelled() -> None:
    counts = [9000, *[100] * 9, 0]
    chart = parse_chart(json.dumps({"kind": "histogram", "edges": list(range(12)), "counts": counts}))
    assert chart is not None
    shapes = draw_chart(chart, 240, 118).shapes
    heights = sorted((shape.height for shape in shapes if isinstance(shape, Box)), reverse=True)
    assert heights[0] < 2 * heights[1]
    assert any(isinstance(shape, Label) and shape.text == "90.91, cut off" for shape in shapes)


def test_ticks_are_round_and_within_the_range() -> None:
    assert nice_ticks(-1024, -600, 5) == (-1000.0, -900.0, -800.0, -700.0, -600.0)
    assert nice_ticks(0, 8.7, 3) == (0.0, 5.0)
    assert nice_ticks(3, 3, 5) == (3,)


def test_texts_of_an_svg_are_escaped() -> None:
    chart = Chart("bars", "<script>x</script>", (), ('"><b>',), (1.0,), "mL", "")
    svg = str(chart_svg(draw_chart(chart, 200, 100)))
    assert "<script>" not in svg
    assert "<b>" not in svg
    assert "&lt;script&gt;" in svg


def test_a_bar_of_half_the_whole_is_half_as_long_as_its_track() -> None:
    data = {"kind": "bars", "labels": ["Fat", "Bone"], "values": [50, 25], "unit": "%"}
    chart = parse_chart(json.dumps(data))
    assert chart is not None
    boxes = [shape for shape in draw_chart(chart, 200, 100).shapes if isinstance(shape, Box)]
    track, bar = boxes[:2]
    assert bar.width == pytest.approx(track.width / 2)


def test_the_name_of_a_mark_stands_over_the_bars() -> None:
    counts = [5, 9, 10, 9, 8, 9, 10, 9, 8, 7]
    data = {"kind": "histogram", "edges": list(range(11)), "counts": counts, "marks": [[2, "X"]]}
    chart = parse_chart(json.dumps(data))
    assert chart is not None
    shapes = draw_chart(chart, 200, 118).shapes
    (name,) = [shape for shape in shapes if isinstance(shape, Label) and shape.text == "X"]
    assert name.y > max(shape.y + shape.height for shape in shapes if isinstance(shape, Box))
