"""`web_frames`, `rendered`, `rendered_jpeg`: requests a second by DICOMweb, four clients. Target: 1 x the peer's.

Whole stored frames of CT slices, and the same slices through a window as PNG and as JPEG; each is asked for by a
request of its own, as viewers do. The slices are in the system's page cache on both sides; no picture is asked for
twice in a run, and neither archive keeps any.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.dicomweb import OrthancWeb, OurWeb, WebArchive, get_all
from benchmarks.figure import Bench, Figure, Run, figure
from benchmarks.side import Stopwatch

CLIENTS: Final = 4
ANY_SYNTAX: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
ASKED: Final = {
    "web_frames": ("frames/1", ANY_SYNTAX),
    "rendered": ("rendered?window=40,400,linear", "image/png"),
    "rendered_jpeg": ("rendered?window=40,400,linear", "image/jpeg"),
}


def measure(bench: Bench) -> Figure:
    """Frames; the runs of the others are made on the way, in turns."""
    kinds: tuple[Callable[[Path], WebArchive], ...] = (OurWeb, OrthancWeb)
    archives: list[WebArchive] = []
    series = bench.work.ct(bench.slices // 2)
    for number, open_archive in enumerate(kinds[: len(bench.open_sides)]):
        archive = open_archive(bench.folder / f"web-{number}")
        bench.closing.callback(archive.close)
        archive.store(series)
        archives.append(archive)
    instances = [f"{series.name}/instances/{uid}" for uid in series.sop_instance_uids]
    for name, (tail, accept) in ASKED.items():
        paths = [f"{instance}/{tail}" for instance in instances]
        bench.kept[name] = []
        for archive in archives:  # the first requests pay for imports and open connections
            get_all(archive, paths[:20], accept, CLIENTS)
        for turn in range(bench.repeats):
            for archive in archives if turn % 2 == 0 else archives[::-1]:
                with Stopwatch() as watch:
                    get_all(archive, paths, accept, CLIENTS)
                bench.kept[name].append(Run(archive.name, len(paths) / watch.seconds, CLIENTS))
    return figure("web_frames", "frames/s", bench.kept["web_frames"], target=1.0)


def measure_rendered(bench: Bench) -> Figure:
    """As PNG, from the runs of `web_frames`; so is the next."""
    return figure("rendered", "pictures/s", bench.kept["rendered"], target=1.0)


def measure_rendered_jpeg(bench: Bench) -> Figure:
    """As JPEG."""
    return figure("rendered_jpeg", "pictures/s", bench.kept["rendered_jpeg"], target=1.0)
