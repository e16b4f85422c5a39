"""`rss_mib`: the server's peak resident memory over the whole work. Target: below 300 MiB."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Side

_AT_ONCE = 400
_TARGET_MIB = 300


def measure(bench: Bench) -> Figure:
    """CT slices, MR slices and objects of many frames, stored and read, in servers started for this.

    The whole run has 5,000 CT slices in one series and an object of 2 GiB; the quick one as much as the other figures.
    """
    runs: list[Run] = []
    for side in bench.fresh_sides():
        _usual_work(bench, side)
        if not bench.is_quick:
            _large_work(bench, side)
        runs.append(Run(side.name, side.process.peak_mib()))
    return figure("rss_mib", "MiB", runs, target=_TARGET_MIB, at_most=True)


def _usual_work(bench: Bench, side: Side) -> None:
    ct, mr = bench.work.ct(bench.slices), bench.work.mr(max(1, bench.slices // 4))
    many = bench.work.many_frames(bench.frames)
    for series in (ct, mr, many):
        side.store(series.files, min(4, len(series.files)))
    side.frames(ct, 4)
    side.metadata(ct)


def _large_work(bench: Bench, side: Side) -> None:
    for part in bench.work.long_ct(5000, _AT_ONCE):
        side.store(part.files, 4)
    side.metadata(part)
    path = Path(bench.folder) / "huge.dcm"
    huge = bench.work.huge_object(path, 16_384)
    side.store(huge.files, 1)
    path.unlink()
    side.frames(huge, 1)
    side.metadata(huge)
