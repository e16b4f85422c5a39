"""`metadata_warm`: instances a second of the JSON metadata of a series that was read before. Target: 5 x the peer's."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch


def measure(bench: Bench) -> Figure:
    """The DICOM JSON model of a series of CT slices."""
    series = bench.work.ct(bench.slices)
    for side in bench.sides():
        side.store(series.files, 4)
        side.metadata(series)
    runs: list[Run] = []
    for side in bench.turns():
        with Stopwatch() as watch:
            side.metadata(series)
        runs.append(Run(side.name, len(series.files) / watch.seconds))
    return figure("metadata_warm", "instances/s", runs, target=5.0)
