"""`metadata_cold`: the same as `metadata_warm` right after a restart of the server. Target: not below the peer's."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch


def measure(bench: Bench) -> Figure:
    """The first request for the metadata of a series after each restart; files stay in the system's page cache."""
    series = bench.work.ct(bench.slices)
    for side in bench.sides():
        side.store(series.files, 4)
    runs: list[Run] = []
    for side in bench.turns():
        side.restart()
        with Stopwatch() as watch:
            side.metadata(series)
        runs.append(Run(side.name, len(series.files) / watch.seconds))
    return figure("metadata_cold", "instances/s", runs, target=1.0)
