"""`python -m tests.traces.picture`: a study through a whole installation, and the trace that it made, drawn as an SVG.

Spans are those that arrived at an OTLP receiver. Children of one span that have the same name and service share a row;
of a call, the server's span is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import HexColor

from imaging.client.async_client import AsyncClient
from imaging.phantom.ct_series import write_phantom
from tests.installation.running import running_installation
from tests.traces.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver

WIDTH, ROW, LEFT, RIGHT, TOP = 980, 17, 330, 12, 46
DEPTH: Final = 5
"""Of the tree of spans; what is below is the detail of a trace viewer."""

COLOURS: Final = {
    "imaging-storage": "#1f6f8b",
    "imaging-pipeline": "#8a5a9e",
    "imaging-processing": "#c77d2e",
    "imaging-analysis": "#3f8f4f",
    "imaging-reporting": "#b0413e",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Spans that are shown in one line."""

    depth: int
    spans: tuple[ReceivedSpan, ...]


def rows(spans: Sequence[ReceivedSpan]) -> list[Row]:
    """The lines of a trace: parents before their children, in the order in which they begin."""
    children: dict[str, list[ReceivedSpan]] = {}
    known = {span.span_id for span in spans}
    for span in sorted(spans, key=lambda span: span.start_ns):
        children.setdefault(span.parent_span_id if span.parent_span_id in known else "", []).append(span)

    def served(span: ReceivedSpan) -> ReceivedSpan:
        """The server's span of a call for that of its client, which has the same name."""
        return next((child for child in children.get(span.span_id, []) if child.name == span.name), span)

    def below(found: Sequence[ReceivedSpan], depth: int) -> Iterator[Row]:
        alike: dict[tuple[str, str], list[ReceivedSpan]] = {}
        for span in map(served, found):
            alike.setdefault((span.name, span.service), []).append(span)
        for group in alike.values():
            yield Row(depth, tuple(group))
            if depth + 1 < DEPTH:
                yield from below([child for span in group for child in children.get(span.span_id, [])], depth + 1)

    return list(below(children[""], 0))


def draw(spans: Sequence[ReceivedSpan], file: Path) -> None:
    """Write the picture of one trace."""
    lines = rows(spans)
    begin, end = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    height = TOP + ROW * len(lines) + 10
    per_ns = (WIDTH - LEFT - RIGHT) / (end - begin)
    drawing = Drawing(WIDTH, height)
    drawing.add(Rect(0, 0, WIDTH, height, fillColor=HexColor("#ffffff"), strokeColor=None))
    for number, (service, colour) in enumerate(COLOURS.items()):
        x = 8 + number * 130
        drawing.add(Rect(x, height - 20, 11, 11, fillColor=HexColor(colour), strokeColor=None))
        drawing.add(_text(x + 16, height - 18, service.removeprefix("imaging-"), 11))
    step = next(step for step in (1, 2, 5, 10, 60) if (end - begin) / 1e9 / step < 12)
    for second in range(0, int((end - begin) / 1e9) + 1, step):
        x = LEFT + second * 1e9 * per_ns
        drawing.add(Line(x, 4, x, height - TOP + 4, strokeColor=HexColor("#dddddd"), strokeWidth=0.7))
        drawing.add(_text(x + 2, height - TOP + 7, f"{second} s", 9))
    for number, row in enumerate(lines):
        bottom = height - TOP - ROW * (number + 1)
        name, many = _short(row.spans[0].name), len(row.spans)
        drawing.add(_text(8 + 14 * row.depth, bottom + 5, f"{name}  x {many}" if many > 1 else name, 10))
        for span in row.spans:
            width = max(1.0, (span.end_ns - span.start_ns) * per_ns)
            x, colour = LEFT + (span.start_ns - begin) * per_ns, HexColor(COLOURS[span.service])
            drawing.add(Rect(x, bottom + 3, width, ROW - 6, fillColor=colour, strokeColor=None))
    renderSVG.drawToFile(drawing, str(file))


def _text(x: float, y: float, text: str, size: int) -> String:
    return String(x, y, text, fontName="Helvetica", fontSize=size, fillColor=HexColor("#222222"))


def _short(name: str) -> str:
    """`StorageService/GetManifest` of a call, with its package."""
    return name.rpartition("/")[0].rpartition(".")[2] + "/" + name.rpartition("/")[2] if "/" in name else name


async def trace_of_a_study(folder: Path) -> list[ReceivedSpan]:
    """The CT phantom goes in, its report comes out; all spans of its trace."""
    async with otlp_receiver() as receiver:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        write_phantom(folder / "phantom")
        with running_installation(folder / "data", environment) as installation:
            async with AsyncClient(installation.endpoints) as client:
                summary = await client.store(folder / "phantom", complete=True)
                (study,) = summary.studies
                run = [seen async for seen in client.runs.watch(study)][-1]
            if run.state != "SUCCEEDED":
                raise SystemExit(f"the run is {run.state}: {run.reason}")
            return await _all_of(receiver, run.trace_id)


async def _all_of(receiver: OtlpReceiver, trace_id: str) -> list[ReceivedSpan]:
    """The spans of a trace, when no more have come for two seconds."""
    before = -1
    while len(found := [span for span in receiver.spans if span.trace_id == trace_id]) != before:
        before = len(found)
        await asyncio.sleep(2)
    return found


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/trace.svg"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trace-") as folder:
        spans = asyncio.run(trace_of_a_study(Path(folder)))
    draw(spans, options.out)
    sys.stdout.write(f"{len(spans)} spans of {len({span.service for span in spans})} services: {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
