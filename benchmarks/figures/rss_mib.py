"""`rss_mib`: the server's peak resident memory over the whole work. Target: below 300 MiB."""

from __future__ import annotations

from benchmarks.figure import Bench, Figure, Run, figure


def measure(bench: Bench) -> Figure:
    """400 CT slices, 100 MR slices and an object of 2,000 frames, stored and read, in servers started for this."""
    ct, mr = bench.work.ct(bench.slices), bench.work.mr(max(1, bench.slices // 4))
    many = bench.work.many_frames(bench.frames)
    runs: list[Run] = []
    for side in bench.fresh_sides():
        for series in (ct, mr, many):
            side.store(series.files, min(4, len(series.files)))
        side.frames(ct, 4)
        side.metadata(ct)
        runs.append(Run(side.name, side.process.peak_mib()))
    return figure("rss_mib", "MiB", runs, at_most=True)
