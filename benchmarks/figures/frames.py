"""`frames`: whole stored frames read a second by four clients. Target: 2 x the peer's WADO-RS."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch

CLIENTS = 4


def measure(bench: Bench) -> Figure:
    """All frames of a series of CT slices, which is in the system's page cache on both sides."""
    series = bench.work.ct(bench.slices)
    for side in bench.sides():
        side.store(series.files, CLIENTS)
        side.frames(series, CLIENTS)
    runs: list[Run] = []
    for side in bench.turns():
        with Stopwatch() as watch:
            size = side.frames(series, CLIENTS)
        if size < 512 * 512 * 2 * len(series.files):
            raise RuntimeError(f"{side.name} gave only {size} bytes")
        runs.append(Run(side.name, len(series.files) / watch.seconds, CLIENTS))
    bench.kept["frames"] = runs
    return figure("frames", "frames/s", runs, target=2.0)
