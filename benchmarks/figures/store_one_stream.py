"""`store_one_stream`: instances a second of one client: a gRPC stream, a REST connection. Target: 2 x the peer's."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, figure


def measure(bench: Bench) -> Figure:
    """The runs of `store` that had one client."""
    runs = [run for run in bench.kept["store"] if run.clients == 1]
    return figure("store_one_stream", "instances/s", runs, target=2.0)
