"""`store_cpu`: the server's processor time for each instance stored. Target: at most 0.6 x the peer's."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, figure


def measure(bench: Bench) -> Figure:
    """From the runs of `store`, each side at the number of clients at which it needs least."""
    return figure("store_cpu", "ms/instance", bench.kept["store_cpu"], target=0.6, at_most=True)
