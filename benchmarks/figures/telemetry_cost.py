"""`telemetry_cost`, `telemetry_cost_frame`: processor time with traces and metrics on by that without. Target: 1.05.

Traces go to a collector that takes and forgets them; metrics are scraped once a second, far more often than usual.
"""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import grpc

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.ours import Ours
from benchmarks.work import Series

FRAME_CLIENTS = 4
_EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"


def measure(bench: Bench) -> Figure:
    """Milliseconds of the server's processor time for each instance stored by one client; frames on the way."""
    runs: list[Run] = []
    frames: list[Run] = []
    with _collector() as collector, _scraped() as metrics:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "IMAGING_TELEMETRY_METRICS_ADDRESS": metrics,
        }
        with (
            closing(Ours(bench.folder / "telemetry-on", environment)) as telling,
            closing(Ours(bench.folder / "telemetry-off")) as silent,
        ):
            _measure(bench, [("ours", telling), ("silent", silent)], runs, frames)
    bench.kept["telemetry_cost_frame"] = frames
    return figure("telemetry_cost", "ms/instance", runs, target=1.05, at_most=True)


def _measure(bench: Bench, sides: list[tuple[str, Ours]], runs: list[Run], frames: list[Run]) -> None:
    series = bench.work.ct(bench.slices)
    for _, side in sides:
        side.store(series.files, 1)
        side.frames(series, FRAME_CLIENTS)
    for turn in range(2 * bench.repeats):
        for name, side in sides if turn % 2 == 0 else sides[::-1]:
            runs.append(Run(name, _spent_storing(side, bench.work.ct(bench.slices))))
            frames.append(Run(name, _spent_reading(side, series), FRAME_CLIENTS))


def measure_frames(bench: Bench) -> Figure:
    """Milliseconds for each whole stored frame, from the runs of `telemetry_cost`."""
    return figure("telemetry_cost_frame", "ms/frame", bench.kept["telemetry_cost_frame"], target=1.05, at_most=True)


def _spent_storing(side: Ours, series: Series) -> float:
    before = side.process.cpu_seconds()
    side.store(series.files, 1)
    return 1000 * (side.process.cpu_seconds() - before) / len(series.files)


def _spent_reading(side: Ours, series: Series) -> float:
    before = side.process.cpu_seconds()
    side.frames(series, FRAME_CLIENTS)
    return 1000 * (side.process.cpu_seconds() - before) / len(series.files)


@contextmanager
def _collector() -> Iterator[str]:
    """The endpoint of a collector of traces."""
    server = grpc.server(ThreadPoolExecutor(2))
    export = grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_EXPORT, {"Export": export}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None)


@contextmanager
def _scraped() -> Iterator[str]:
    """An address for metrics that is scraped until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(1):
            with suppress(OSError):
                urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read()

    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()
    try:
        yield address
    finally:
        ended.set()
        scraper.join()
