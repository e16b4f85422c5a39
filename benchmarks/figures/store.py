"""`store`: instances a second, both sides durable, each at the best number of clients. Target: 1.2 x the peer's."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch

CLIENTS = (1, 2, 4, 8)


def measure(bench: Bench) -> Figure:
    """New CT slices of one series in each run. The servers' processor time is kept for `store_cpu`."""
    runs: list[Run] = []
    processor: list[Run] = []
    for side in bench.sides():  # the first instances pay for imports and open connections
        side.store(bench.work.ct(20).files, 1)
    for side in bench.turns():
        for clients in CLIENTS:
            files = bench.work.ct(bench.slices).files
            before = side.process.cpu_seconds()
            with Stopwatch() as watch:
                side.store(files, clients)
            spent = side.process.cpu_seconds() - before
            runs.append(Run(side.name, len(files) / watch.seconds, clients))
            processor.append(Run(side.name, 1000 * spent / len(files), clients))
    bench.kept["store"] = runs
    bench.kept["store_cpu"] = processor
    return figure("store", "instances/s", runs, target=1.2)
